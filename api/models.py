"""What the service takes: the bodies of requests, checked before anything else sees them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Text = Annotated[str, StringConstraints(max_length=1_000, pattern=PRINTABLE, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE, strip_whitespace=True)]
Country = Annotated[str, StringConstraints(max_length=60, pattern=PRINTABLE, strip_whitespace=True)]
Hectares = Annotated[FiniteFloat, Field(ge=0, le=1_000_000)]
Kilograms = Annotated[FiniteFloat, Field(gt=0, le=1e9)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Cell = Text | FiniteFloat | bool | None
Attributes = Annotated[dict[Name, Cell], Field(max_length=64)]
Longitude = Annotated[FiniteFloat, Field(ge=-180, le=180)]
Latitude = Annotated[FiniteFloat, Field(ge=-90, le=90)]
Position = tuple[Longitude, Latitude] | tuple[Longitude, Latitude, FiniteFloat]
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
    given: bool = Field(description="false takes it back; the last word counts", examples=[True])


class Point(BaseModel):
    type: Literal["Point"]
    coordinates: Position


class Polygon(BaseModel):
    type: Literal["Polygon"]
    coordinates: Rings = Field(description="Longitude and latitude in degrees (EPSG:4326)", examples=[SQUARE])


class MultiPolygon(BaseModel):
    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Rings], Field(min_length=1, max_length=1_000)]


class PlotProperties(BaseModel):
    """What the service itself works out (area_ha, version) may stand here and is not read."""

    plot_id: Name | None = Field(default=None, description="Where it is sent it must be the one of the address")
    member_id: Text = Field(default="", examples=["FP-040"])
    community: Text = Field(default="", examples=["El Pinabete"])
    crop: Text = Field(default="", examples=["coffee"])
    declared_area_ha: Hectares | None = Field(default=None, description="Hectares", examples=[1.2])
    gps_accuracy_m: Annotated[FiniteFloat, Field(ge=0, le=10_000)] | None = Field(default=None, description="Metres")
    attributes: Attributes = Field(default_factory=dict, examples=[{"variety": "Típica", "planted_year": 2015}])


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
    decisions: Annotated[list[Decision], Field(min_length=1, max_length=10_000)]


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
    delivered_share: Annotated[FiniteFloat, Field(ge=0.01, le=1)] | None = Field(default=None, examples=[0.8])
    as_of: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = Field(
        default=None, description="Day up to which the season's deliveries are complete", examples=["2027-01-31"]
    )
    language: Literal["en", "es", "fr", "pt"] = "en"
    title: Text = ""
