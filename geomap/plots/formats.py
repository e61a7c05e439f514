"""Readers of plot and member files: the kind is told by content and name together, the table is always the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import pandas as pd

from geomap.plots.columns import MEMBER_NAMES, PLOT_NAMES
from geomap.plots.content import Content, number_rows
from geomap.plots.geojson import read_geojson
from geomap.plots.kinds import empty, require_kind
from geomap.plots.layers import read_geopackage, read_geoparquet, read_kml, read_shapefile, read_zipped_shapefile
from geomap.plots.members import members_from
from geomap.plots.spreadsheet import read_csv, read_workbook
from geomap.plots.table import plots_from


def read_plots(path: str | Path, *, mapping: Mapping[str, str] | None = None) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    r"""The table of plots and the findings of one file, rows in its order.

    GeoJSON, GeoPackage, Shapefile (also zipped), GeoParquet, KML and KMZ; CSV, TSV and XLSX with an outline as text
    (WKT, GeoJSON, ODK geotrace or geoshape) or with latitude and longitude. Another CRS becomes EPSG:4326, heights
    are dropped. What cannot be read in a row is a finding and the row stays.

    Parameters
    ----------
    path : the file.
    mapping : their column → our column, where the names do not tell.

    Returns
    -------
    GeoDataFrame : EPSG:4326, index plot_id; its columns are listed in `geomap.plots.table.to_plots`.
    DataFrame : findings.

    Raises
    ------
    FileError : missing, empty, damaged, or of another kind than its name says.
    ColumnError : two columns match one name, or the mapping names what is not there.
    CrsError : no CRS where the format has none fixed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "plots.csv"
    ...     _ = file.write_text("plot_id;lat;lon;ha\n007;14,1;-87,2;0,5\n")
    ...     plots, findings = read_plots(file)
    >>> plots.index.tolist(), plots["declared_area_ha"].tolist(), str(plots.geometry.iloc[0])
    (['007'], [0.5], 'POINT (-87.2 14.1)')
    """
    return plots_from(_read(Path(path), PLOT_NAMES), mapping=mapping)


def read_members(path: str | Path, *, mapping: Mapping[str, str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of members and the findings of one file (CSV, TSV, XLSX, Parquet, or any format of plots).

    Parameters
    ----------
    path : the file; shapes in it are not read.
    mapping : their column → our column, where the names do not tell.

    Returns
    -------
    DataFrame : index member_id; its columns are listed in `geomap.plots.members.to_members`.
    DataFrame : findings.

    Raises
    ------
    FileError, ColumnError, CrsError : as `read_plots`; also without a column of member ids.
    """
    return members_from(_read(Path(path), MEMBER_NAMES), mapping=mapping)


def _read(path: Path, names: Sequence[str]) -> Content:
    kind = require_kind(path)
    if kind == "GeoJSON":
        frame, outlines = read_geojson(path.read_bytes(), name=path.name)
        content = Content(number_rows(frame), path.name, outlines)
    elif kind == "CSV":
        content = read_csv(path.read_bytes(), name=path.name)
    elif kind == "Excel workbook":
        content = read_workbook(path, names=names)
    elif kind == "GeoParquet":
        content = read_geoparquet(path)
    elif kind == "GeoPackage":
        content = read_geopackage(path)
    elif kind == "Shapefile":
        content = read_shapefile(path)
    elif kind == "zipped Shapefile":
        content = read_zipped_shapefile(path)
    else:
        content = read_kml(path)
    if content.frame.empty and not len(content.frame):
        raise empty(path.name)
    return content
