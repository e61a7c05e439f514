"""Settings of the service; each is an environment variable that begins with GEOMAP_API_."""

import tempfile
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from geomap.plots.intake import UPLOAD_CAPS


class Settings(BaseSettings):
    """What an operator can set; read once, when the service is made.

    Examples
    --------
    >>> Settings(work_dir="/srv/jobs").work_dir.name
    'jobs'
    """

    model_config = SettingsConfigDict(env_prefix="GEOMAP_API_", frozen=True)

    store: SecretStr = Field(
        default=SecretStr(""), description="Address of the store: `sqlite:///…` or `postgresql+psycopg://…`"
    )
    work_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()),
        description="Folder for uploads and jobs; must be writable. All that the service lays down for a while lies "
        "there, also files while they come",
    )
    expose_schema: bool = Field(default=True, description="Whether /openapi.json is served")
    hosts: list[str] = Field(
        default=[],
        description="Names under which the service is called, with the port where it is not the usual one; "
        "others are refused; an empty list takes any",
    )
    secure_cookies: bool = Field(
        default=True, description="Whether cookies travel over HTTPS only; off in local mode alone"
    )
    session_hours: float = Field(default=12.0, gt=0, description="Hours for which a browser stays signed in")
    open_metrics: bool = Field(
        default=False, description="Whether /metrics needs no token; only where nobody outside can reach it"
    )
    basemap: str = Field(
        default="",
        description="Pictures under the served maps, such as https://server/{z}/{x}/{y}.png; empty: none, and no "
        "browser asks anybody but this service",
    )
    basemap_credit: str = Field(default="", description="Whom to name beside the basemap")
    worker: bool = Field(default=True, description="Whether this process also works on jobs")
    json_bytes: int = Field(default=1_000_000, gt=0, description="Most bytes of a request that is no file")
    upload_bytes: int = Field(default=UPLOAD_CAPS.file_bytes, gt=0, description="Most bytes of a file that is sent")
    upload_parts: int = Field(default=20, gt=0, description="Most parts of a form that is sent")
    uploads_at_once: int = Field(
        default=4, gt=0, description="Files that are received at the same time; at most half of them of one account"
    )
    requests_at_once: int = Field(default=16, gt=0, description="Requests of one account at the same time")
    body_grace_s: float = Field(default=10.0, gt=0, description="Seconds before a slow request is held to the pace")
    body_pace: float = Field(default=2_000.0, gt=0, description="Bytes per second that a request must come with")
    body_s: float = Field(default=1_800.0, gt=0, description="Seconds in which a request must be complete")
    tile_memory_mb: int = Field(
        default=512, gt=0, description="Most memory for maps of plots, in megabytes; the latest map is kept in any case"
    )
