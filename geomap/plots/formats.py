"""Readers of plot and member files: the kind is told by content and name together, the table is always the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd

from geomap.plots import odk, terratrac
from geomap.plots.central import read_zipped_tables
from geomap.plots.columns import MEMBER_NAMES, PLOT_NAMES
from geomap.plots.content import Content, number_rows
from geomap.plots.geojson import read_geojson
from geomap.plots.gpx import read_gpx
from geomap.plots.kinds import ZIPPED_TABLES, empty, require_kind
from geomap.plots.layers import read_geopackage, read_geoparquet, read_kml, read_shapefile, read_zipped_shapefile
from geomap.plots.members import members_from
from geomap.plots.spreadsheet import read_csv
from geomap.plots.table import plots_from
from geomap.plots.workbook import read_workbook


def read_plots(
    path: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    crs: str | None = None,
    country: str | None = None,
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    r"""The table of plots and the findings of one file, rows in its order.

    GeoJSON, GeoPackage, Shapefile (also zipped), GeoParquet, KML, KMZ and GPX; CSV, TSV and XLSX with an outline as
    text (WKT, GeoJSON, ODK geotrace or geoshape) or with latitude and longitude, also as ODK, Kobo and TerraTrac
    export them. Another CRS becomes EPSG:4326, heights are dropped. What cannot be read in a row is a finding, and the
    row stays.

    Parameters
    ----------
    path : the file.
    mapping : their column → our column, where the names do not tell.
    crs : of the file's coordinates, such as "EPSG:32616"; counts before what the file says of itself.
    country : of the plots, two letters; gives local units their size, and names the UTM zones that fit.

    Returns
    -------
    GeoDataFrame : EPSG:4326, index plot_id; its columns are listed in `geomap.plots.table.to_plots`.
    DataFrame : findings.

    Raises
    ------
    FileError : missing, empty, damaged, or of another kind than its name says.
    ColumnError : two columns match one name, or the mapping names what is not there.
    CrsError : no CRS where the format has none fixed, or coordinates in metres without one.

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
    content = _read(Path(path), PLOT_NAMES, crs)
    if content.outlines is None:
        content = odk.tidy(content, mapping=mapping)
    content = replace(terratrac.tidy(content), country=(country or "").strip().upper())
    return plots_from(content, mapping=mapping, crs=crs)


def read_members(
    path: str | Path, *, mapping: Mapping[str, str] | None = None, country: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of members and the findings of one file (CSV, TSV, XLSX, Parquet, or any format of plots).

    Parameters
    ----------
    path : the file; shapes in it are not read.
    mapping : their column → our column, where the names do not tell.
    country : of the plots, two letters; gives local units of declared areas their size.

    Returns
    -------
    DataFrame : index member_id; its columns are listed in `geomap.plots.members.to_members`.
    DataFrame : findings.

    Raises
    ------
    FileError, ColumnError, CrsError : as `read_plots`; also without a column of member ids.
    """
    content = replace(read_table(path, MEMBER_NAMES), country=(country or "").strip().upper())
    return members_from(content, mapping=mapping)


def read_table(path: str | Path, names: Sequence[str]) -> Content:
    """What a file holds, as its reader found it; `names` tell the header and the sheet of a workbook.

    Raises
    ------
    FileError : as `read_plots`.
    """
    return odk.tidy(_read(Path(path), names), wide=False)


def _read(path: Path, names: Sequence[str], crs: str | None = None) -> Content:
    kind = require_kind(path)
    if kind == "GeoJSON":
        frame, outlines = read_geojson(path.read_bytes(), name=path.name, crs=crs)
        content = Content(number_rows(frame), path.name, outlines)
    elif kind == "CSV":
        content = read_csv(path.read_bytes(), name=path.name, names=names)
    elif kind == "Excel workbook":
        content = read_workbook(path, names=names)
    elif kind == ZIPPED_TABLES:
        content = read_zipped_tables(path, names=names)
    elif kind == "GPX":
        content = read_gpx(path)
    else:
        content = replace(_LAYERS[kind](path, crs=crs), has_crs=True)
    if content.frame.empty and not len(content.frame):
        raise empty(path.name)
    return content


_LAYERS: Final[Mapping[str, Callable[..., Content]]] = {
    "GeoParquet": read_geoparquet,
    "GeoPackage": read_geopackage,
    "Shapefile": read_shapefile,
    "zipped Shapefile": read_zipped_shapefile,
    "KML": read_kml,
    "KMZ": read_kml,
}
