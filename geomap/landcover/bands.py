"""Bands of a quantity, in words: "1,000–1,200 m", to sum by."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import NumberError

ALTITUDE_NAMES: Final = ("altitude", "elevation", "dem")
"""Layers of these names are metres above the sea."""

ALTITUDE_STEP_M: Final = 200.0

_MINUS: Final = "\N{MINUS SIGN}"
_EDGE: Final = re.compile(rf"{_MINUS}?\d[\d,]*(?:\.\d+)?(?:e[+{_MINUS}]\d+)?")

Floats = npt.NDArray[np.float64]


def layer_bands(
    values: "pd.Series[float]", edges: Sequence[float] | None = None, name: str = "layer"
) -> "pd.Series[str]":
    """Band of each value as text; "" where the value is not known.

    A band holds its lower edge and not its upper one. Without edges altitudes get bands of 200 m, and other layers the
    quarters of their values, with edges of three digits. Bands with no value in them have no text. Texts sort as texts,
    "1,000–1,200 m" before "800–1,000 m"; `lower_edge` puts them in order.

    Parameters
    ----------
    values : any unit; metres for the names `ALTITUDE_NAMES`.
    edges : inner and outer limits, rising; what lies beyond them is "under 10" or "20 or more".
    name : of the layer.

    Raises
    ------
    NumberError : the edges do not rise, or are no numbers.

    Examples
    --------
    >>> layer_bands(pd.Series([1000.0, 1199.9, 950.0, np.nan]), name="altitude").tolist()
    ['1,000–1,200 m', '1,000–1,200 m', '800–1,000 m', '']
    >>> layer_bands(pd.Series([4.0, 15.0, 20.0]), [10, 20], "slope").tolist()
    ['under 10', '10–20', '20 or more']
    """
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(numbers)
    unit = " m" if name in ALTITUDE_NAMES else ""
    limits = _checked(edges, name) if edges is not None else _own_edges(numbers[known], name)
    words = _words(limits, unit)
    place = np.searchsorted(limits, np.where(known, numbers, 0.0), side="right")
    texts = np.where(known, np.array(words, dtype=object)[place], "")
    return pd.Series(texts, index=values.index, name=f"{name}_band", dtype="str")


def lower_edge(band: str) -> float:
    """Where a band of `layer_bands` begins, to sort by: −inf for "under 10", inf for a text that is no band.

    Examples
    --------
    >>> sorted(["1,000–1,200 m", "(none)", "800–1,000 m", "under 800 m", "1,200 m or more"], key=lower_edge)
    ['under 800 m', '800–1,000 m', '1,000–1,200 m', '1,200 m or more', '(none)']
    """
    first = _EDGE.match(band.removeprefix("under "))
    if first is None:
        return math.inf
    if band.startswith("under "):
        return -math.inf
    return float(first[0].replace(",", "").replace(_MINUS, "-"))


def altitude_bands(table: pd.DataFrame, edges: Sequence[float] | None = None) -> "pd.Series[str] | None":
    """Band of the altitude that each plot or member tells; None where the table holds no number of it.

    Parameters
    ----------
    table : with a column altitude_m, metres; numbers, or texts that are numbers.

    Examples
    --------
    >>> altitude_bands(pd.DataFrame({"altitude_m": [1250.0, np.nan]})).tolist()
    ['1,200–1,400 m', '']
    """
    told = told_altitude(table)
    return None if told is None else layer_bands(told, edges, ALTITUDE_NAMES[0])


def told_altitude(table: pd.DataFrame) -> "pd.Series[float] | None":
    """The column altitude_m as numbers; None where there is no such column, or no number in it."""
    if "altitude_m" not in table:
        return None
    told = pd.to_numeric(table["altitude_m"], errors="coerce").astype(float)
    return told if told.notna().any() else None


def _own_edges(numbers: Floats, name: str) -> Floats:
    if not len(numbers):
        return np.zeros(0)
    if name in ALTITUDE_NAMES:
        low, high = (int(np.floor(limit / ALTITUDE_STEP_M)) for limit in (numbers.min(), numbers.max()))
        return np.arange(low - 1, high + 2).astype(np.float64) * ALTITUDE_STEP_M
    quarters = np.quantile(numbers, [0.25, 0.5, 0.75])
    rounded = np.unique([float(f"{limit:.3g}") for limit in quarters])
    inner: Floats = rounded[(rounded > numbers.min()) & (rounded <= numbers.max())]
    return inner


def _checked(edges: Sequence[float], name: str) -> Floats:
    limits = np.asarray(edges, dtype=float)
    if not len(limits) or not np.isfinite(limits).all() or (np.diff(limits) <= 0).any():
        raise NumberError(
            f"The edges of the bands of {name} are {', '.join(f'{edge:g}' for edge in limits) or 'none'}.",
            why="Each band lies between one edge and the next higher one.",
            todo="Give numbers that rise, such as 0, 10, 20.",
        )
    return limits


def _words(limits: Floats, unit: str) -> list[str]:
    """Texts of the bands below the first edge, between the edges, and from the last one on."""
    if not len(limits):
        return ["all"]
    at = [_number(limit) for limit in limits]
    return [f"under {at[0]}{unit}", *(f"{low}–{high}{unit}" for low, high in pairwise(at)), f"{at[-1]} or more{unit}"]


def _number(value: float) -> str:
    text = f"{value:,.10g}"
    return text.replace("-", _MINUS)
