"""What the service takes: the bodies of requests, checked before anything else sees them."""

import datetime
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Text = Annotated[str, StringConstraints(max_length=1_000, pattern=PRINTABLE, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE, strip_whitespace=True)]
Country = Annotated[str, StringConstraints(max_length=60, pattern=PRINTABLE, strip_whitespace=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A number as JSON has it: no text, no truth value, not NaN."""
Hectares = Annotated[Number, Field(ge=0, le=1_000_000)]
Kilograms = Annotated[Number, Field(ge=0.01, le=1_000_000)]
Share = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
Cell = Text | Whole | Number | bool | None
Attributes = Annotated[dict[Name, Cell], Field(max_length=64)]
Longitude = Annotated[Number, Field(ge=-180, le=180)]
Latitude = Annotated[Number, Field(ge=-90, le=90)]
Position = tuple[Longitude, Latitude] | tuple[Longitude, Latitude, Number]
Ring = Annotated[list[Position], Field(min_length=3, max_length=20_000)]
Rings = Annotated[list[Ring], Field(min_length=1, max_length=1_000)]

SQUARE = [[[-88.82, 14.66], [-88.819, 14.66], [-88.819, 14.661], [-88.82, 14.661], [-88.82, 14.66]]]


class Body(BaseModel):
    """A body that holds what is named here and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewCooperative(Body):
    code: Name = Field(description="The name that stands in files as cooperative_id", examples=["Flor del Pinar"])
    name: Name = Field(examples=["Cooperativa Flor del Pinar"])
    country: Country = Field(default="", description="Name or ISO 3166 code", examples=["HN"])
    crop: Country = Field(default="", examples=["coffee"])


class CooperativeChange(Body):
    """What is not sent stays as it is."""

    name: Name | None = None
    country: Country | None = None
    crop: Country | None = None
    settings: Attributes | None = Field(default=None, description="As in a settings file", examples=[{"bag_kg": 69}])


class Member(Body):
    name: Text = Field(default="", examples=["Dilcia Tábora Núñez"])
    phone: Text = Field(default="", examples=["+504 9999 0000"])
    community: Text = Field(default="", examples=["El Pinabete"])
    declared_area_ha: Hectares | None = Field(default=None, description="Hectares", examples=[0.7])
    attributes: Attributes = Field(default_factory=dict, examples=[{"joined": "2019-06-20"}])


class Consent(Body):
    purpose: Literal["mapping", "analysts", "buyers"] = Field(examples=["analysts"])
    given: bool = Field(strict=True, description="false takes it back; the last word counts", examples=[True])


class Point(BaseModel):
    type: Literal["Point"]
    coordinates: Position


class Polygon(BaseModel):
    type: Literal["Polygon"]
    coordinates: Rings = Field(description="Longitude and latitude in degrees (EPSG:4326)", examples=[SQUARE])


class MultiPolygon(BaseModel):
    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Rings], Field(min_length=1, max_length=1_000)]


class PlotProperties(Body):
    """What the service itself works out (area_ha, version, created_at) may stand here and is not read."""

    plot_id: Name | None = Field(default=None, description="Where it is sent it must be the one of the address")
    member_id: Text = Field(default="", examples=["FP-040"])
    community: Text = Field(default="", examples=["El Pinabete"])
    crop: Text = Field(default="", examples=["coffee"])
    declared_area_ha: Hectares | None = Field(default=None, description="Hectares", examples=[1.2])
    gps_accuracy_m: Annotated[Number, Field(ge=0, le=10_000)] | None = Field(default=None, description="Metres")
    attributes: Attributes = Field(
        default_factory=dict,
        description="Further columns; planted_share, planted_year and hives count in runs",
        examples=[{"variety": "Típica", "planted_year": 2015}],
    )
    area_ha: Cell = Field(default=None, exclude=True)
    version: Cell = Field(default=None, exclude=True)
    created_at: Cell = Field(default=None, exclude=True)


class PlotFeature(BaseModel):
    """A GeoJSON Feature (RFC 7946)."""

    type: Literal["Feature"]
    geometry: Annotated[Point | Polygon | MultiPolygon, Field(discriminator="type")] | None = Field(
        examples=[{"type": "Polygon", "coordinates": SQUARE}]
    )
    properties: PlotProperties


class Decision(Body):
    plot_id: Name = Field(examples=["LP-00002"])
    other_plot_id: Text = ""
    code: Text = Field(default="", description="Code of the finding", examples=["overlap"])
    decision: Literal["", "keep", "repaired", "leave_out", "same_plot", "share_stays", "walked_again"] = Field(
        description="Empty takes it back", examples=["keep"]
    )


class Decisions(Body):
    decisions: Annotated[list[Decision], Field(min_length=1, max_length=1_000)]


class NewRun(Body):
    """What is to be estimated. What is not given is the cooperative's own, or the table's default."""

    crop: Country | None = Field(default=None, examples=["coffee"])
    country: Country | None = Field(default=None, examples=["HN"])
    product: Name | None = Field(
        default=None, description="Land-cover product: all rasters of it", examples=["esa-worldcover-2021"]
    )
    raster_ids: Annotated[list[Name], Field(max_length=1_000)] = Field(
        default_factory=list, description="Rasters of GET /rasters, instead of a product"
    )
    season: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}[/-][0-9]{2,4}$")] | None = Field(
        default=None, examples=["2026/27"]
    )
    form: Country | None = Field(default=None, description="Product form of all kilograms", examples=["green"])
    base_yield_kg: Kilograms | None = Field(
        default=None, description="Kilograms per planted hectare (or hive) and year"
    )
    by: Annotated[list[Name], Field(max_length=8)] = Field(default_factory=list, examples=[["community"]])
    delivered_share: Annotated[Number, Field(ge=0.01, le=1)] | None = Field(default=None, examples=[0.8])
    as_of: date | None = Field(
        default=None, description="Day up to which the season's deliveries are complete", examples=["2027-01-31"]
    )
    language: Literal["en", "es", "fr", "pt"] = "en"
    title: Text = ""


Section = Literal["members", "shock_year", "available", "accuracy", "shared"]
"""What of the whole cooperative stands beside the signed totals of a release."""


class NewRelease(Body):
    """What is to be released of a run, and who signs it."""

    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    quantity: Literal["potential", "supply"] = Field(default="potential", description="What is told of parts")
    by: Annotated[list[Name], Field(max_length=8)] = Field(
        default_factory=list, description="Columns that the run was summed by, or community", examples=[["community"]]
    )
    date: datetime.date | None = Field(default=None, description="The day of signing where none is given")
    min_members: Annotated[int, Field(ge=5, le=1_000)] = Field(default=10, description="Fewest members of a number")
    new_line: bool = Field(default=False, description="Judge it by no earlier release; for other buyers alone")
    leave_out: Annotated[list[Section], Field(max_length=5)] = Field(
        default_factory=list, description="Signed figures that stay with the office"
    )
    note: Text = Field(default="", description="For buyers")
    signed_by: Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE, strip_whitespace=True)] = Field(
        default="", description="Who signs for the cooperative; for the office alone", examples=["The board"]
    )
    dry_run: bool = Field(default=False, description="Show what would be released, and sign nothing")
