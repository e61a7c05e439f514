"""Settings of the service; each is an environment variable that begins with GEOMAP_API_."""

import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator can set; read once, when the service is made.

    Examples
    --------
    >>> Settings(work_dir="/srv/jobs").work_dir.name
    'jobs'
    """

    model_config = SettingsConfigDict(env_prefix="GEOMAP_API_", frozen=True)

    work_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()), description="Folder for uploads and jobs; must be writable"
    )
    expose_schema: bool = Field(default=True, description="Whether /openapi.json is served")
