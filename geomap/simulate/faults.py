"""What goes wrong in real files, put into the sample on purpose and listed beside it."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.optimize import brentq

Outlines = NDArray[np.object_]


def fault_rows(fault: str, rows: Iterable[int], details: str | Sequence[str], *, member: str = "") -> pd.DataFrame:
    """Rows of the list of faults: fault, position of the plot (0-based; -1 for none), member_id, detail."""
    at = list(rows)
    texts = [details] * len(at) if isinstance(details, str) else list(details)
    return pd.DataFrame({"fault": fault, "at": at, "member_id": member, "detail": texts})


def overlap_neighbours(
    rng: np.random.Generator, outlines: Outlines, member: NDArray[np.str_], shares: Sequence[float]
) -> tuple[Outlines, pd.DataFrame]:
    """Outlines where, for each share, another member's plot was drawn over that share of a plot, and the list of it.

    The other plot takes the same shape, moved aside; nothing else is covered.
    """
    made, used, listed = outlines.copy(), set[int](), []
    for share in shares:
        one, other, moved = _overlap(rng, made, member, share, used)
        made[other] = moved
        used |= {one, other}
        listed.append(fault_rows("overlap", [one, other], f"{share:.0%} of one covers the other"))
    return made, pd.concat(listed, ignore_index=True)


def _overlap(
    rng: np.random.Generator, outlines: Outlines, member: NDArray[np.str_], share: float, used: set[int]
) -> tuple[int, int, shapely.Polygon]:
    tree = shapely.STRtree(outlines)
    for one in rng.permutation(len(outlines)):
        plot = outlines[one]
        near = tree.query_nearest(plot, exclusive=True, all_matches=False)
        other = int(near[0])
        if one in used or other in used or member[one] == member[other] or not 2e-7 < plot.area < 5e-7:
            continue
        for angle in rng.permutation(8) * np.pi / 4:
            moved = _moved_until(plot, share, angle)
            if set(tree.query(moved, predicate="intersects").tolist()) <= {int(one), other}:
                return int(one), other, moved
    raise AssertionError("no plot has room beside it")


def _moved_until(plot: shapely.Polygon, share: float, angle: float) -> shapely.Polygon:
    """The plot moved in one direction until this share of it still covers its old place."""
    step = np.array([np.cos(angle), np.sin(angle)])

    def moved(distance: float) -> shapely.Polygon:
        return shapely.transform(plot, lambda xy: (xy + distance * step).round(6))

    def missing(distance: float) -> float:
        return float(shapely.transform(plot, lambda xy: xy + distance * step).intersection(plot).area / plot.area - share)

    return moved(brentq(missing, 0, 0.01, xtol=1e-8))


def cross_itself(plot: shapely.Polygon, part: float) -> shapely.Polygon:
    """The outline with its second corner walked in the wrong order: the track crosses itself there.

    Parameters
    ----------
    part : length of the crossing as a share of the two sides that meet in the corner: .03 is a slip, .5 ruins the plot.

    Examples
    --------
    >>> cross_itself(shapely.box(0, 0, 1, 1), 0.5).is_valid
    False
    """
    ring = shapely.get_coordinates(plot)[:-1]
    before, corner, after = ring[0], ring[1], ring[2]
    loop = [corner + part * (after - corner), corner + part * (before - corner)]
    return shapely.Polygon(np.vstack([ring[:1], loop, ring[2:]]).round(6))


def type_areas(rng: np.random.Generator, declared: pd.Series) -> tuple[pd.Series, pd.DataFrame]:
    """Declared areas as an office types them, with a decimal comma, a unit or a word, and the list of those."""
    texts = declared.copy()
    order = rng.permutation(len(texts))
    fraction = [i for i in order if "." in texts[i]]
    whole = [i for i in order if "." not in texts[i]]
    commas, units, words = fraction[:14], [*whole[:4], *fraction[14:18]], fraction[18:20]
    texts[commas] = texts[commas].str.replace(".", ",", regex=False)
    texts[units[:4]] += " Hektar"
    texts[units[4:]] += " ha"
    texts[words] = "no sabe"
    listed = [
        fault_rows("decimal_comma", commas, texts[commas].tolist()),
        fault_rows("area_with_unit", units, texts[units].tolist()),
        fault_rows("unreadable_area", words, texts[words].tolist()),
    ]
    return texts, pd.concat(listed, ignore_index=True)
