"""What is estimated: crop, origin, product form and season, each looked up once."""

from dataclasses import dataclass

from geomap.supply import crops
from geomap.supply.months import parse_season


@dataclass(frozen=True)
class Choice:
    """Crop, country, base yield, conversion to the product form, and season of one run."""

    crop: crops.Crop
    country: str
    base: crops.BaseYield
    conversion: crops.Conversion
    season: str | None

    @property
    def season_year(self) -> int | None:
        """The year in which the season begins; None without a season."""
        return None if self.season is None else parse_season(self.season)


def choose(
    crop: str,
    country: str,
    *,
    form: str | None = None,
    season: str | None = None,
    base_yield_kg: float | None = None,
) -> Choice:
    """The choice by names.

    Parameters
    ----------
    crop, country : names; country as ISO 3166 code or name.
    form : product form of all kilograms; the crop's default where it is not given.
    season : such as "2026/27".
    base_yield_kg : the user's own base yield per planted hectare (or hive) of the crop's default form.

    Raises
    ------
    UnknownNameError : a name is not known, or no conversion leads to the form.

    Examples
    --------
    >>> choose("coffee", "Honduras", season="2026/27").season_year
    2026
    """
    of_crop, code = crops.crop(crop), crops.country_code(country)
    if base_yield_kg is None:
        base = crops.base_yield(of_crop.name, code)
    else:
        base = crops.own_base_yield(of_crop.name, code, base_yield_kg)
    conversion = crops.conversion(of_crop.name, base.form, form or of_crop.default_form)
    if season is not None:
        parse_season(season)
    return Choice(of_crop, code, base, conversion, season)
