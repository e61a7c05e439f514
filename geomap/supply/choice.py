"""What is estimated: crop, origin, product form and season, each looked up once."""

from dataclasses import dataclass

import pandas as pd

from geomap.supply import crops
from geomap.supply.crop_tables import CropTables, reference_tables, rows_of
from geomap.supply.months import parse_season, season_text


@dataclass(frozen=True)
class Choice:
    """Crop, country, base yield, conversion to the product form, and season of one run.

    `tables` hold the user's own crop or figures; None where only ours are used.
    """

    crop: crops.Crop
    country: str
    base: crops.BaseYield
    conversion: crops.Conversion
    season: str | None
    tables: CropTables | None = None

    @property
    def season_year(self) -> int | None:
        """The year in which the season begins; None without a season."""
        return None if self.season is None else parse_season(self.season)

    @property
    def form_title(self) -> str:
        """The product form in words."""
        return crops.form_title(self.crop.name, self.conversion.to_form, tables=self.tables)

    @property
    def calendar(self) -> "pd.Series[float]":
        """Share of the year's crop per calendar month (1–12, adding up to 1); empty where no calendar is known.

        Examples
        --------
        >>> print(choose("arabica", "Nicaragua").calendar[12])
        0.25
        """
        rows = (self.tables or reference_tables()).calendars
        rows = rows_of(rows[rows["country"] == self.country], self.crop.name, [], self.tables)
        if rows.empty:
            return pd.Series([], index=pd.Index([], name="month", dtype=int), name="share", dtype=float)
        shares = rows.groupby("month")["share"].sum().reindex(range(1, 13), fill_value=0.0).rename_axis("month")
        return shares / shares.sum()


def choose(
    crop: str,
    country: str,
    *,
    form: str | None = None,
    season: str | None = None,
    base_yield_kg: float | None = None,
    base_yield_basis: crops.Basis | None = None,
    base_yield_form: str | None = None,
    tables: CropTables | None = None,
) -> Choice:
    """The choice by names.

    Parameters
    ----------
    crop, country : names; country as ISO 3166 code or name.
    form : product form of all kilograms; the crop's default where it is not given.
    season : such as "2026/27".
    base_yield_kg : the user's own base yield per hectare (or hive) and year.
    base_yield_basis, base_yield_form : of that yield; per planted hectare, in the crop's default form unless given.
    tables : of `read_crop_tables`, with the user's own crop.

    Raises
    ------
    UnknownNameError : a name is not known, or no conversion leads to the form.

    Examples
    --------
    >>> choose("coffee", "Honduras", season="2026/27").season_year
    2026
    """
    of_crop, code = crops.crop(crop, tables=tables), crops.country_code(country)
    if base_yield_kg is None:
        base = crops.base_yield(of_crop.name, code, tables=tables)
    else:
        base = crops.own_base_yield(
            of_crop.name, code, base_yield_kg, basis=base_yield_basis, form=base_yield_form, tables=tables
        )
    conversion = crops.conversion(of_crop.name, base.form, form or of_crop.default_form, tables=tables)
    if season is not None:
        season = season_text(parse_season(season))
    return Choice(of_crop, code, base, conversion, season, tables)
