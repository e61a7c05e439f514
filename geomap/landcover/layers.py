"""Layers of a run: each adds what it shows of every plot as columns, and a band to sum by."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd

from geomap.errors import ColumnError, UnknownNameError
from geomap.findings import join_findings
from geomap.landcover.bands import ALTITUDE_NAMES, altitude_bands, layer_bands, told_altitude
from geomap.landcover.layer import STATISTICS, layer_values

ALTITUDE_BAND: Final = "altitude_band"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")


def with_layers(
    plots: gpd.GeoDataFrame,
    layers: Mapping[str, Sequence[Path]],
    *,
    edges: Mapping[str, Sequence[float]] | None = None,
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """The plots with what each layer shows of them, and findings.

    A layer NAME adds NAME (mean), NAME_min, NAME_max, NAME_p10, NAME_p50, NAME_p90 and NAME_band (text, "" where the
    layer covers less than half of the plot). Altitude is a layer of one of the names `ALTITUDE_NAMES`; its band is
    always called altitude_band. Where it shows nothing of a plot, or no such layer is given, the plot's own altitude_m
    tells its band; a band that is told stays. Where altitude_m is missing it takes the layer's mean. What is told is
    never changed.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326, valid outlines; altitude_m (metres) where it is told.
    layers : name → GeoTIFF files of it; see `layer_values`.
    edges : name → limits of its bands; see `layer_bands`.

    Raises
    ------
    UnknownNameError : a name that cannot be one of columns, two layers of altitude, or edges of no layer.
    ColumnError : the plots have a column of this name already.
    RasterError, CrsError : see `layer_values`.
    NumberError : see `layer_bands`.

    Examples
    --------
    >>> plots = gpd.GeoDataFrame({"altitude_m": [1250]}, geometry=[None], index=["P"], crs="EPSG:4326")
    >>> with_layers(plots, {})[0]["altitude_band"].to_dict()
    {'P': '1,200–1,400 m'}
    """
    limits = dict(edges or {})
    _require_names(layers, limits, plots)
    told, said = told_altitude(plots), []
    made: dict[str, pd.Series] = {}
    height: pd.Series | None = None
    for name, files in sorted(layers.items()):
        found = layer_values(plots, files, name=name)
        said.append(found.findings)
        made |= {_column(name, one): found.values[one] for one in STATISTICS}
        if name in ALTITUDE_NAMES:
            height = found.values["mean"]
        else:
            made[f"{name}_band"] = layer_bands(found.values["mean"], limits.get(name), name)
    if height is not None:
        made["altitude_m"] = height if told is None else told.fillna(height)
        height = height if told is None else height.fillna(told)
    elif told is not None:
        height = told
    if height is not None and ALTITUDE_BAND not in plots:
        own = next((limits[name] for name in ALTITUDE_NAMES if name in limits), None)
        made[ALTITUDE_BAND] = layer_bands(height, own, ALTITUDE_NAMES[0])
    return plots.assign(**made), join_findings(said)


def layer_columns(layers: Iterable[str], *tables: pd.DataFrame | None) -> tuple[str, ...]:
    """Columns that can be summed by once `with_layers` has been at work: the bands.

    Parameters
    ----------
    layers : names.
    tables : plots and members, which may tell altitude_m themselves.

    Examples
    --------
    >>> layer_columns(["dem", "rainfall"])
    ('altitude_band', 'rainfall_band')
    """
    names = set(layers)
    told = any(table is not None and told_altitude(table) is not None for table in tables)
    altitude = [ALTITUDE_BAND] if told or names & set(ALTITUDE_NAMES) else []
    return (*altitude, *(f"{name}_band" for name in sorted(names - set(ALTITUDE_NAMES))))


def with_altitude_band(members: pd.DataFrame, edges: Sequence[float] | None = None) -> pd.DataFrame:
    """The members with altitude_band, where they tell altitude_m: it stands for those who have no plot.

    Examples
    --------
    >>> with_altitude_band(pd.DataFrame({"altitude_m": [930.0]}, index=["M"]))["altitude_band"].tolist()
    ['800–1,000 m']
    """
    bands = altitude_bands(members, edges)
    return members if bands is None or ALTITUDE_BAND in members else members.assign(**{ALTITUDE_BAND: bands})


def layers_given(texts: Iterable[str]) -> dict[str, tuple[Path, ...]]:
    """Layers as they are typed, NAME=FILE; a name that is given again has several files.

    Raises
    ------
    UnknownNameError : a text without a name.

    Examples
    --------
    >>> {name: len(files) for name, files in layers_given(["dem=a.tif", "dem=b.tif", "slope=c.tif"]).items()}
    {'dem': 2, 'slope': 1}
    """
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise UnknownNameError(
                f"--layer {text} is not NAME=FILE.",
                why="The name becomes a column of the plots.",
                todo="Write the name, =, the file: --layer altitude=dem.tif.",
            )
        _require_name(name.strip())
        found[name.strip()] = (*found.get(name.strip(), ()), Path(file.strip()))
    return found


def _column(name: str, statistic: str) -> str:
    return name if statistic == "mean" else f"{name}_{statistic}"


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UnknownNameError(
            f"A layer cannot be called '{name}'.",
            why="The name becomes a column of the plots.",
            todo="Begin with a small letter; then small letters, digits and _, 31 signs at most: altitude, rainfall.",
        )


def _require_names(
    layers: Mapping[str, Sequence[Path]], edges: Mapping[str, Sequence[float]], plots: pd.DataFrame
) -> None:
    for name in layers:
        _require_name(name)
    heights = sorted(set(layers) & set(ALTITUDE_NAMES))
    if len(heights) > 1:
        raise UnknownNameError(
            f"The layers {' and '.join(heights)} are both altitude.",
            why="A plot has one altitude.",
            todo="Give one of them; several files may have one name.",
        )
    strange = sorted(set(edges) - set(layers) - set(ALTITUDE_NAMES))
    if strange:
        raise UnknownNameError(
            f"There are edges for {', '.join(strange)}, and no layer of this name.",
            todo=f"Layers: {', '.join(sorted(layers)) or 'none'}.",
        )
    new = {_column(name, one) for name in layers for one in STATISTICS} | set(layer_columns(layers))
    taken = sorted(new & set(plots.columns))
    if taken:
        raise ColumnError(
            f"The plots have a column {', '.join(taken)} already.",
            why="What the file tells is kept as it is.",
            todo="Give the layer another name, such as altitude for heights.",
        )
