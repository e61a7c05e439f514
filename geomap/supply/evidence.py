"""What technicians estimate in the field and what members promise: evidence of its own beside deliveries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from geomap.plots.columns import DELIVERY_NAMES, ESTIMATE_NAMES
from geomap.supply.crop_tables import CropTables
from geomap.supply.office import Source
from geomap.supply.rows import read_rows
from geomap.supply.weigh import Wanted

ESTIMATE_COLUMNS: Final = [
    "row",
    "cooperative_id",
    "member_id",
    "plot_id",
    "season",
    "date",
    "estimator",
    "given_kg",
    "given_form",
    "kg",
]
COMMITMENT_COLUMNS: Final = [name for name in ESTIMATE_COLUMNS if name not in {"plot_id", "estimator"}]


def read_field_estimates(
    path: str | Path,
    *,
    crop: str,
    form: str,
    mapping: Mapping[str, str] | None = None,
    units: pd.DataFrame | None = None,
    members: pd.DataFrame | None = None,
    season: str = "",
    given_unit: str = "",
    given_form: str = "",
    tables: CropTables | None = None,
    declared: str | None = None,
    uploads: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""What technicians expect of plots, members or cooperatives, from a file, and the findings.

    Rows are read as those of `read_deliveries`, but for the season: the day of an estimate does not tell it, for an
    estimate of August is of the harvest that begins in October. A row without a season takes `season`.

    Parameters
    ----------
    path : the file.
    season : of rows that name none.
    crop, form, mapping, units, members, given_unit, given_form, tables, declared, uploads : as for `read_deliveries`.

    Returns
    -------
    DataFrame : columns `ESTIMATE_COLUMNS`; member_id, plot_id and estimator are "" where not told, date (the day of the
        estimate) is NaT where unknown. Kilograms of `form` in `kg`, as given in `given_kg` and `given_form`.
    DataFrame : findings.

    Raises
    ------
    ColumnError, FileError, UnknownNameError : as `read_deliveries`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "estimates.csv"
    ...     _ = file.write_text("plot_id,season,kg parchment,technician\nP1,2026/27,500,Ana\n")
    ...     found, _ = read_field_estimates(file, crop="coffee", form="green")
    >>> found[["plot_id", "season", "estimator", "kg"]].values.tolist()
    [['P1', '2026/27', 'Ana', 400.0]]
    """
    wanted = Wanted.of(crop, form, units=units, given_unit=given_unit, given_form=given_form, tables=tables)
    source = Source(Path(path), mapping, declared, uploads)
    rows, found = read_rows(source, ESTIMATE_NAMES, wanted, members=members, season=season, dates_tell=False)
    return rows[ESTIMATE_COLUMNS], found


def read_commitments(
    path: str | Path,
    *,
    crop: str,
    form: str,
    mapping: Mapping[str, str] | None = None,
    units: pd.DataFrame | None = None,
    members: pd.DataFrame | None = None,
    season: str = "",
    given_unit: str = "",
    given_form: str = "",
    tables: CropTables | None = None,
    declared: str | None = None,
    uploads: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""What members signed to deliver, from a file, and the findings; as `read_field_estimates`.

    Returns
    -------
    DataFrame : columns `COMMITMENT_COLUMNS`; date is the day of the signature.
    DataFrame : findings.

    Raises
    ------
    ColumnError, FileError, UnknownNameError : as `read_deliveries`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "compromisos.csv"
    ...     _ = file.write_text("socio;qq oro comprometidos\nA;10\n")
    ...     found, _ = read_commitments(file, crop="coffee", form="green", season="2026/27")
    >>> found[["member_id", "season", "kg"]].values.tolist()
    [['A', '2026/27', 460.0]]
    """
    wanted = Wanted.of(crop, form, units=units, given_unit=given_unit, given_form=given_form, tables=tables)
    source = Source(Path(path), mapping, declared, uploads)
    rows, found = read_rows(source, DELIVERY_NAMES, wanted, members=members, season=season, dates_tell=False)
    return rows[COMMITMENT_COLUMNS], found
