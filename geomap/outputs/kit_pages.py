"""Pages of the kit to print: what is to be done in each community, and what is known of each member's plots."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd
import shapely

from geomap.outputs.kit_data import Kit
from geomap.outputs.text import plain
from geomap.outputs.words import Words
from geomap.plots.checks import has_outline, vertex_count
from geomap.plots.overlap import OVERLAP_CODES

WALK: Final = (
    "null_island", "in_the_sea", "outside_country", "out_of_range", "empty", "invalid", "hole_outside",
    "too_few_points", "no_area", "too_large", "spike", "sliver", "polygon_needed", "declared_only",
)  # fmt: skip
"""Findings that somebody has to go to the plot for."""
_SIDE: Final = 220.0
_MARGIN: Final = 12.0
_MOST_DOTS: Final = 80
_METRES: Final = 111_320.0


def work_lists(kit: Kit, texts: Words) -> str:
    """One page with a section per community: plots to walk again, overlaps, members without a plot, differing areas."""
    groups = _groups(kit)
    lists = {
        "walk_again": _to_walk(kit, texts),
        "who_overlaps": _overlapping(kit, texts),
        "no_plot": _without_plot(kit),
        "differs": _differing(kit),
    }
    communities = [
        {
            "anchor": f"c{number}",
            "cooperative": plain(cooperative),
            "name": plain(community) or texts["no_community"],
            "lists": {title: rows.get((cooperative, community), []) for title, rows in lists.items()},
        }
        for number, (cooperative, community) in enumerate(groups, start=1)
    ]
    return _render("work_lists.html.jinja", words=texts, communities=communities)


def _groups(kit: Kit) -> list[tuple[str, str]]:
    tables = [table[["cooperative_id", "community"]].fillna("") for table in (kit.plots, kit.members)]
    return sorted(set(pd.concat(tables).astype("str").itertuples(index=False, name=None)))


Rows = dict[tuple[str, str], list[dict[str, Any]]]


def _into_groups(keys: pd.DataFrame, rows: list[dict[str, Any]]) -> Rows:
    made: Rows = {}
    pairs = keys[["cooperative_id", "community"]].fillna("").astype("str").itertuples(index=False, name=None)
    for key, row in zip(pairs, rows, strict=True):
        made.setdefault(key, []).append({name: _shown(value) for name, value in row.items()})
    return made


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float | np.floating):
        return "" if not np.isfinite(value) else f"{value:,.2f}"
    return value


def _label(plots: pd.DataFrame) -> pd.Series:
    return plots["given_id"].where(plots["given_id"].fillna("") != "", plots.index.to_series())


def _to_walk(kit: Kit, texts: Words) -> Rows:
    found = kit.findings[kit.findings["code"].isin(WALK) & kit.findings["plot_id"].isin(kit.plots.index)]
    first = found.groupby("plot_id", sort=True)["code"].agg(lambda codes: list(dict.fromkeys(codes)))
    plots = kit.plots.loc[first.index]
    rows = [
        {
            "plot": label,
            "member": member,
            "name": name,
            "found": "; ".join(texts.title(code) for code in codes),
            "todo": texts.remedies.get(codes[0], ""),
        }
        for label, member, name, codes in zip(
            _label(plots), plots["member_id"], plots["member_name"], first, strict=True
        )
    ]
    return _into_groups(plots, rows)


def _overlapping(kit: Kit, texts: Words) -> Rows:
    """Each pair stands once in the list of either community."""
    found = kit.findings[kit.findings["code"].isin(OVERLAP_CODES) & (kit.findings["other_plot_id"] != "")]
    pair = pd.DataFrame(
        {
            "a": np.minimum(found["plot_id"].to_numpy(dtype=object), found["other_plot_id"].to_numpy(dtype=object)),
            "b": np.maximum(found["plot_id"].to_numpy(dtype=object), found["other_plot_id"].to_numpy(dtype=object)),
            "code": found["code"].to_numpy(),
        }
    ).drop_duplicates(["a", "b"])
    common = kit.overlaps.set_index(["plot_a", "plot_b"])["overlap_ha"]
    pair["ha"] = common.reindex(pd.MultiIndex.from_frame(pair[["a", "b"]])).to_numpy(dtype=float)
    one, other = kit.plots.loc[pair["a"]], kit.plots.loc[pair["b"]]
    rows = [
        {
            "plot": plot,
            "member": f"{member} {name}".strip(),
            "other_plot": far,
            "other_member": f"{far_member} {far_name}".strip(),
            "both": ha,
            "found": texts.title(code),
        }
        for plot, member, name, far, far_member, far_name, ha, code in zip(
            _label(one), one["member_id"], one["member_name"],
            _label(other), other["member_id"], other["member_name"], pair["ha"], pair["code"],
            strict=True,
        )
    ]  # fmt: skip
    made = _into_groups(one, rows)
    columns = ["cooperative_id", "community"]
    away = (one[columns].fillna("").to_numpy() != other[columns].fillna("").to_numpy()).any(axis=1)
    for key, more in _into_groups(other[away], [row for row, far in zip(rows, away, strict=True) if far]).items():
        made.setdefault(key, []).extend(more)
    return made


def _without_plot(kit: Kit) -> Rows:
    usable = kit.plots[kit.plots["kind"] != "left_out"] if "kind" in kit.plots else kit.plots
    idle = kit.members[~kit.members.index.isin(usable["member_id"])].sort_index()
    rows = [
        {"member": member, "name": name, "declared": declared}
        for member, name, declared in zip(
            idle.index, idle["name"], idle["declared_area_ha"].to_numpy(dtype=float), strict=True
        )
    ]
    return _into_groups(idle, rows)


def _differing(kit: Kit) -> Rows:
    found = kit.findings[(kit.findings["code"] == "area_differs") & kit.findings["plot_id"].isin(kit.plots.index)]
    plots = kit.plots.loc[sorted(set(found["plot_id"]))]
    rows = [
        {"plot": label, "member": member, "name": name, "declared": declared, "mapped": mapped}
        for label, member, name, declared, mapped in zip(
            _label(plots), plots["member_id"], plots["member_name"],
            plots["declared_area_ha"].to_numpy(dtype=float), plots["area_ha"].to_numpy(dtype=float),
            strict=True,
        )
    ]  # fmt: skip
    return _into_groups(plots, rows)


def member_sheets(kit: Kit, texts: Words, members_per_page: int) -> Iterator[str]:
    """Pages with a sheet per member: the plots with sketch and numbers, what was found, and room for a signature."""
    plots = kit.plots.sort_index(kind="stable")
    plots = plots.assign(sketch=sketches(plots.geometry.to_numpy()), corners=_corners(plots))
    told = kit.findings[kit.findings["plot_id"] != ""].groupby("plot_id", sort=False)["code"].agg(list)
    order = plots.assign(**{name: plots[name].fillna("") for name in ("cooperative_id", "community", "member_id")})
    groups = list(order.groupby(["cooperative_id", "community", "member_id"], sort=True))
    for start in range(0, max(len(groups), 1), members_per_page):
        sheets = [
            {
                "cooperative": plain(cooperative),
                "community": plain(community) or texts["no_community"],
                "member": plain(member),
                "name": plain(own["member_name"].iloc[0]),
                "plots": [_plot_row(row, told.get(row.Index, []), texts) for row in own.itertuples()],
            }
            for (cooperative, community, member), own in groups[start : start + members_per_page]
        ]
        yield _render("member_sheets.html.jinja", words=texts, sheets=sheets)


def _plot_row(row: Any, codes: list[str], texts: Words) -> dict[str, Any]:
    return {
        "plot": plain(row.given_id or row.Index),
        "sketch": row.sketch,
        "numbers": [
            (texts["mapped"], _shown(float(row.area_ha))),
            (texts["declared"], _shown(float(row.declared_area_ha))),
            (texts["counted"], _shown(float(row.counted_area_ha))),
            (texts["gps"], f"± {row.area_sd_ha:.3f}" if row.area_sd_ha > 0 else ""),
            (texts["corners"], row.corners or ""),
        ],
        "findings": [(texts.title(code), texts.remedies.get(code, "")) for code in dict.fromkeys(codes)],
    }


def _corners(plots: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.int64]]":
    geometry = plots["geometry"].to_numpy()
    count = np.zeros(len(geometry), dtype=np.int64)
    drawn = has_outline(geometry)
    count[drawn] = vertex_count(geometry[drawn])
    return count


def sketches(geometry: Any) -> list[str]:
    """An SVG path box per outline, north up, with a scale bar in metres; "" where there is no outline."""
    return [_sketch(shape) if drawn else "" for shape, drawn in zip(geometry, has_outline(geometry), strict=True)]


def _sketch(shape: shapely.Geometry) -> str:
    west, south, east, north = shape.bounds
    if not np.isfinite([west, south, east, north]).all():
        return ""
    squeeze = np.cos(np.radians((south + north) / 2))
    span = max((east - west) * squeeze, north - south, 1e-6)
    per_degree = (_SIDE - 2 * _MARGIN) / span
    rings = [
        np.column_stack(
            [_MARGIN + (ring[:, 0] - west) * squeeze * per_degree, _MARGIN + (north - ring[:, 1]) * per_degree]
        ).round(1)
        for ring in map(shapely.get_coordinates, shapely.get_rings(shapely.get_parts(shape)))
    ]
    path = " ".join("M" + "L".join(f"{x:g},{y:g}" for x, y in ring[:-1]) + "Z" for ring in rings)
    dots = np.vstack([ring[:-1] for ring in rings])
    marks = "".join(f'<circle cx="{x:g}" cy="{y:g}" r="2"/>' for x, y in dots) if len(dots) <= _MOST_DOTS else ""
    metres = _round_length(span * _METRES / 3)
    bar, foot = metres / _METRES * per_degree, _SIDE + 8
    return (
        f'<svg viewBox="0 0 {_SIDE:g} {_SIDE + 26:g}" width="{_SIDE:g}" height="{_SIDE + 26:g}" role="img">'
        f'<path class="ground" d="{path}"/>{marks}'
        f'<path class="bar" d="M{_MARGIN:g},{foot:g}h{bar:.1f}m0,-4v8m-{bar:.1f},0v-8"/>'
        f'<text x="{_MARGIN + bar + 6:.1f}" y="{foot + 4:g}">{metres:g} m</text></svg>'
    )


def _round_length(metres: float) -> float:
    """The largest of 1, 2, 5 · 10^k that is not longer.

    Examples
    --------
    >>> _round_length(73.0), _round_length(19.0)
    (50.0, 10.0)
    """
    power = 10.0 ** np.floor(np.log10(metres))
    return float(max(step for step in (1, 2, 5) if step * power <= metres * (1 + 1e-9)) * power)


def _render(template: str, **content: Any) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    home = files("geomap.outputs")
    style = Markup(home.joinpath("assets", "kit.css").read_text(encoding="utf-8"))
    environment.filters["drawn"] = Markup  # sketches are made here from numbers alone
    source = home.joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(source).render(style=style, **content) + "\n"
