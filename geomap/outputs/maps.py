"""The two maps of a run, each one file without a network: plots for the office, aggregates for buyers.

Folium draws shapes with whole numbers as ids; no text of users goes through it. Texts are the page's data (`map_page`).
"""

import html
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import shapely

from geomap.lookup import is_among
from geomap.outputs import map_words as words
from geomap.outputs.context import Bounds, Context, land_cover, widened
from geomap.outputs.map_page import Drawing, map_page, paragraphs
from geomap.outputs.text import plain
from geomap.supply import disclosure

if TYPE_CHECKING:
    import geopandas as gpd

    from geomap.run import Run

Json = dict[str, Any]

MAX_PLOTS: Final = 3000
"""Plots drawn one by one; more make a page that phones cannot open, and are drawn as grid cells."""

_MAX_CELLS: Final = 1500
_AT_ONCE: Final = 500
"""Points made at a time: more new objects would start the garbage collector, which walks all shapes of the run."""

_SHARE_CELL_M: Final = 100.0
_PLOT_OPACITY: Final = 0.85
_CELL_OPACITY: Final = 0.65
_MARK: Final = {"color": "#a3155a", "weight": 2, "dashArray": "4 3", "fill": False}
_GONE: Final = {"color": "#1b1b1b", "weight": 2, "dashArray": "2 5", "fill": False}
_STYLES: Final = {"marks": _MARK, "gone": _GONE}
_FOR_SCRIPT: Final = "map_label noun dots columns rows facts details notes flagged left_out labels empty area".split()
_NOT_GIVEN: Final[Json] = {"notes": {}, "flagged": [], "left_out": [], "labels": None, "empty": "", "dots": False}


def internal_map(run: "Run") -> str:
    """The office's map as one HTML page: every plot with its potential, member and findings. Not to be passed on.

    Above `MAX_PLOTS` plots the page shows grid cells in place of plots, and says so.
    """
    page = _plots_page(run) if len(run.plots) <= MAX_PLOTS else _grid_page(run)
    eyebrow = "For the cooperative’s office: names and places inside, do not pass on"
    return _page(run, page, eyebrow, words.internal_headline(run), words.cooperatives(run))


def share_map(run: "Run") -> str:
    """The buyers' map as one HTML page: cooperatives and grid cells of enough members, rounded (`supply.disclosure`).

    It holds no name of a member or a community, no plot, no outline and no place finer than its cells.
    """
    table = disclosure.cooperative_totals(run.cooperatives, run.members)
    cooperatives = [words.shared_cooperative(row) for row in table.to_dict("records")]
    total = disclosure.run_total(run.total.to_dict(), table, run.cooperatives, run.members)
    headline = words.share_headline(run, total)
    return _page(run, _cells_page(run), "For buyers: sums of many members, rounded", headline, cooperatives)


# The parts of a page: shapes to draw, and what the page's script shows


def _plots_page(run: "Run") -> Json:
    plots = run.plots
    breaks = words.class_breaks(plots["potential_kg"])
    classes = words.classes_of(plots["potential_kg"], breaks)
    notes, flagged = _findings(run)
    shapes = _features(plots.geometry, classes)
    marks = [shape for shape in shapes if shape["id"] in set(flagged)]
    gone = _left_out_nearby(run)
    legend = [words.scale(f"Potential of a plot, kg {words.form(run)} a year", breaks, classes, opacity=_PLOT_OPACITY)]
    return {
        "layers": {
            "shapes": ("Plots", shapes),
            "marks": ("Plots with findings", marks),
            "gone": ("Plots left out", gone),
        },
        "opacity": _PLOT_OPACITY,
        "area": _bounds(plots.geometry),
        "dots": True,
        "map_label": "Map of the plots; the table holds the same plots",
        "table_title": "Plots",
        "search_label": "Search by member, community or plot",
        "noun": "plots",
        "columns": words.columns({"Plot": "text", "Member": "text", "Area, ha": "ha", "Potential, kg": "kg"}),
        "facts": words.columns(
            {
                "P10 – P90, kg": "text",
                "Productive, ha": "ha",
                "Community": "text",
                "Cooperative": "text",
                "Area is": "text",
            }
        ),
        **_plot_rows(run),
        "notes": notes,
        "flagged": flagged,
        "left_out": words.left_out(run),
        "legend": legend + ([words.FINDING_LEGEND] if marks else []) + ([words.LEFT_OUT_LEGEND] if gone else []),
    }


def _left_out_nearby(run: "Run") -> list[Json]:
    """Outlines of plots that were left out, as they were drawn; those far from all others are only listed."""
    area = _bounds(run.plots.geometry)
    if area is None or len(run.left_out) == 0:
        return []
    west, south, east, north = widened(area)
    limits = shapely.bounds(run.left_out.geometry.to_numpy())
    with np.errstate(invalid="ignore"):
        near = (limits[:, 0] >= west) & (limits[:, 2] <= east) & (limits[:, 1] >= south) & (limits[:, 3] <= north)
    return _features(run.left_out.geometry[near], [-1] * int(near.sum()))


def _plot_rows(run: "Run") -> Json:
    """The table's rows, and what the popup says beside."""
    names = run.members.set_index("id")["name"].to_dict() if "name" in run.members else {}
    rows, details = [], []
    for plot_id, plot in zip(run.plots.index, run.plots.drop(columns="geometry").to_dict("records"), strict=True):
        member = words.member(names.get(plot["member_id"]), plot["member_id"])
        area, productive = words.hectares(plot["area_ha"]), words.hectares(plot["productive_ha"])
        limits = words.limits(plot["potential_p10_kg"], plot["potential_p90_kg"])
        place = [words.name(plot[column]) for column in ("community", "cooperative_id", "kind")]
        rows.append([words.name(plot_id), member, area, words.kilograms(plot["potential_kg"])])
        details.append([limits, productive, *place])
    return {"rows": rows, "details": details}


def _findings(run: "Run") -> tuple[dict[int, list[str]], list[int]]:
    """Messages by row of the plots, and the rows with a finding that is more than a note."""
    row = {plot: k for k, plot in enumerate(run.plots.index)}
    table = run.findings[is_among(run.findings["plot_id"], row)]
    notes: dict[int, list[str]] = {}
    for plot, message in zip(table["plot_id"], table["message"], strict=True):
        notes.setdefault(row[plot], []).append(plain(message, limit=500))
    return notes, sorted({row[plot] for plot in table.loc[table["severity"] != "note", "plot_id"]})


def _grid_page(run: "Run") -> Json:
    """Grid cells in place of plots: the smallest cells that a page can hold."""
    located, points = _located(run.plots)
    size, keys = _finest_grid(points)
    serious = run.findings.loc[run.findings["severity"] != "note", "plot_id"]
    table = pd.DataFrame(located.drop(columns="geometry")).assign(
        x=keys[:, 0], y=keys[:, 1], flagged=is_among(located.index, serious)
    )
    sums = table.groupby(["y", "x"]).agg(
        plots=("area_ha", "size"),
        members=("member_id", "nunique"),
        area=("area_ha", "sum"),
        productive=("productive_ha", "sum"),
        kg=("potential_kg", "sum"),
        flagged=("flagged", "sum"),
    )
    boxes = disclosure.bounds_of([(x, y) for y, x in sums.index], [size] * len(sums))
    cells = list(zip(boxes, sums.itertuples(), strict=True))
    breaks = words.class_breaks(sums["kg"])
    classes = words.classes_of(sums["kg"], breaks)
    return {
        "layers": {"shapes": ("Cells", _features(shapely.box(*np.array(boxes).T), classes))},
        "opacity": _CELL_OPACITY,
        "area": _bounds(located.geometry),
        "map_label": "Map of the cells; the table holds the same cells",
        "table_title": f"Cells of {size} × {size} km",
        "search_label": "Search by place",
        "said": f"{len(run.plots):,} plots are too many to draw one by one. The map shows cells of {size} × {size} km.",
        "noun": "cells",
        "columns": words.columns({"Cell": "text", "Plots": "count", "Area, ha": "ha", "Potential, kg": "kg"}),
        "rows": [
            [_place(box), int(one.plots), words.hectares(one.area), words.kilograms(one.kg)] for box, one in cells
        ],
        "facts": words.columns({"Members": "count", "Productive, ha": "ha", "Plots with findings": "count"}),
        "details": [[int(one.members), words.hectares(one.productive), int(one.flagged)] for _, one in cells],
        "left_out": words.left_out(run),
        "legend": [
            words.scale(f"Potential of a cell, kg {words.form(run)} a year", breaks, classes, opacity=_CELL_OPACITY)
        ],
    }


def _cells_page(run: "Run") -> Json:
    """What buyers may see: cells of enough members; a `rest` has holes where smaller cells lie inside."""
    located, points = _located(run.plots)
    size, _ = _finest_grid(points)
    elsewhere = run.plots[~is_among(run.plots.index, located.index)]
    unmapped = run.members[run.members["members_mapped"] == 0]
    cells = disclosure.cells(
        np.concatenate([points, np.full((len(elsewhere) + len(unmapped), 2), np.nan)]),
        pd.concat([located["member_id"], elsewhere["member_id"], unmapped["id"]]),
        pd.concat([located["potential_kg"], elsewhere["potential_kg"], unmapped["potential_kg"]]),
        finest_km=size,
    )
    boxes = [(one.west, one.south, one.east, one.north) for one in cells.itertuples()]
    density = cells["total"] / disclosure.own_area_km2(cells)
    breaks = words.class_breaks(density)
    classes = words.classes_of(density, breaks)
    outlines = _without_inner(shapely.box(*np.array(boxes).reshape(-1, 4).T), cells["size_km"].to_numpy())
    return {
        "layers": {"shapes": ("Cells", _features(outlines, classes))},
        "opacity": _CELL_OPACITY,
        "area": _bounds(outlines),
        "boxes": boxes,
        "map_label": "Map of the cells; the table holds the same cells",
        "table_title": "Cells on the map",
        "search_label": "Search by place",
        "said": words.SHARE_RULES,
        "empty": "" if len(cells) else words.NO_CELLS,
        "noun": "cells",
        "columns": words.columns({"Cell": "text", "Side, km": "count", "Members": "count", "Potential, kg": "kg"}),
        "rows": [
            [_place(box) + (", rest" if one.rest else ""), int(one.size_km), int(one.members), float(one.total)]
            for box, one in zip(boxes, cells.itertuples(), strict=True)
        ],
        "facts": words.columns({"Rounded to, kg": "kg"}),
        "details": [[float(base)] for base in cells["base"]],
        "labels": ["" if one.rest else f"{one.total:,.0f} kg" for one in cells.itertuples()],
        "legend": [
            words.scale(f"Potential, kg {words.form(run)} a year and km²", breaks, classes, opacity=_CELL_OPACITY)
        ]
        if boxes
        else [],
    }


def _page(run: "Run", page: Json, eyebrow: str, headline: str, cooperatives: list[Json]) -> str:
    context = _context(run, page)
    drawing = _draw(page["layers"], page["opacity"], context)
    texts = {
        "title": html.escape(words.title(run)),
        "map_label": html.escape(page["map_label"]),
        "eyebrow": html.escape(eyebrow),
        "headline": headline + words.note([page["said"]] if "said" in page else []),
        "table_title": html.escape(page["table_title"]),
        "search_label": html.escape(page["search_label"]),
        "footer": paragraphs(words.footer(run)),
    }
    data = {
        **_NOT_GIVEN,
        **{key: page[key] for key in _FOR_SCRIPT if key in page},
        "cooperatives": cooperatives[: words.MAX_LISTED],
        "more_cooperatives": words.more(len(cooperatives)),
        "legend": page["legend"] + ([words.cover_legend(run, context)] if context else []),
        "credit": words.credit(run) if context else "",
    }
    return map_page(drawing, texts, data)


def _context(run: "Run", page: Json) -> Context | None:
    """The land cover around the plots; for buyers only within the cells shown, and coarse."""
    if page["area"] is None:
        return None
    if "boxes" in page:
        return land_cover(run.rasters, run.product, page["area"], cell_m=_SHARE_CELL_M, only=page["boxes"])
    return land_cover(run.rasters, run.product, widened(page["area"]))


# Folium: the only module that imports it


def empty_map(basemap: tuple[str, str] | None = None) -> Drawing:
    """A map without a shape, for pictures that come later; `basemap`: address of tiles and the credit beside them."""
    import folium

    figure, view = _view(snap=1, credited=basemap is not None)
    if basemap is not None:
        address, credit = basemap
        folium.TileLayer(address, attr=html.escape(credit), max_zoom=21, max_native_zoom=19).add_to(view)
    return _drawing(figure, view, {})


def _view(*, snap: float, credited: bool = False) -> tuple[Any, Any]:
    import folium

    figure = folium.Figure()
    options: Json = {"zoom_snap": snap, "prefer_canvas": True, "attribution_control": credited}
    return figure, folium.Map(location=(0, 0), zoom_start=2, tiles=None, **options).add_to(figure)


def _drawing(figure: Any, view: Any, names: Mapping[str, str]) -> Drawing:
    view.render()
    named = {"map": view.get_name(), **names}
    return Drawing(figure.header.render(), figure.html.render(), figure.script.render(), named)


def _draw(layers: Mapping[str, tuple[str, list[Json]]], opacity: float, context: Context | None) -> Drawing:
    import folium

    figure, view = _view(snap=0.25)
    names = {}
    if context is not None:
        west, south, east, north = context.bounds
        corners = [[south, west], [north, east]]
        folium.raster_layers.ImageOverlay(context.url, bounds=corners, name="Land cover", pixelated=True).add_to(view)
    for key, (title, features) in layers.items():
        if features:
            style = partial(_line_style, key) if key in _STYLES else partial(_shape_style, opacity=opacity)
            collection = {"type": "FeatureCollection", "features": features}
            point = folium.CircleMarker(radius=6, fill=True)
            layer = folium.GeoJson(collection, name=title, style_function=style, marker=point)
            names[key] = layer.add_to(view).get_name()
    folium.LayerControl(collapsed=True).add_to(view)
    return _drawing(figure, view, names)


def _shape_style(feature: Json, opacity: float) -> Json:
    k = feature["properties"]["k"]
    fill, line = (words.COLORS[k], "#ffffff") if k >= 0 else (words.NOTHING, "#55646a")
    return {"color": line, "weight": 1, "fillColor": fill, "fillOpacity": opacity}


def _line_style(key: str, feature: Json) -> Json:
    return dict(_STYLES[key])


def _features(geometry: Any, classes: Sequence[int]) -> list[Json]:
    """GeoJSON features of what has a shape, 6 decimals (0.1 m), with the row number as id and the class as k."""
    shapes = shapely.force_2d(np.asarray(geometry, dtype=object))
    drawn = np.flatnonzero(~(shapely.is_missing(shapes) | shapely.is_empty(shapes))).tolist()
    rounded = shapely.transform(shapes[drawn], lambda places: np.round(places, 6))
    texts = shapely.to_geojson(rounded)
    return [
        {"type": "Feature", "id": row, "properties": {"i": row, "k": classes[row]}, "geometry": json.loads(text)}
        for row, text in zip(drawn, texts, strict=True)
    ]


def _finest_grid(points: Any) -> tuple[int, Any]:
    """Side in km of the smallest cells that are few enough, and the cell of each point."""
    for size in reversed(disclosure.CELL_SIZES_KM):
        keys = disclosure.cell_of(points, size)
        if len(np.unique(keys[:, 0] * 2**32 + keys[:, 1])) <= _MAX_CELLS:
            break
    return size, keys


def _without_inner(squares: Any, sizes: Any) -> Any:
    """Each cell less the smaller cells inside it."""
    outer, inner = shapely.STRtree(squares).query(squares, predicate="covers")
    smaller = sizes[inner] < sizes[outer]
    holes = pd.Series(squares[inner[smaller]], dtype=object).groupby(outer[smaller]).agg(list)
    left = squares.copy()
    for k, parts in holes.items():
        left[k] = shapely.difference(squares[k], shapely.union_all(parts))
    return left


def _located(plots: "gpd.GeoDataFrame") -> tuple["gpd.GeoDataFrame", Any]:
    """Plots with a place, and a point within each (longitude, latitude)."""
    located = plots[~(plots.geometry.isna() | plots.geometry.is_empty)]
    shapes = np.asarray(located.geometry.array)
    parts = (shapes[start : start + _AT_ONCE] for start in range(0, len(shapes), _AT_ONCE))
    points = [shapely.get_coordinates(shapely.point_on_surface(part)) for part in parts]
    return located, np.concatenate([np.empty((0, 2)), *points])


def _bounds(geometry: Any) -> Bounds | None:
    """West, south, east, north of shapes; None where there are none."""
    limits = shapely.bounds(np.asarray(geometry, dtype=object))
    limits = limits[~np.isnan(limits[:, 0])]
    if not len(limits):
        return None
    (west, south), (east, north) = limits[:, :2].min(axis=0).tolist(), limits[:, 2:].max(axis=0).tolist()
    return west, south, east, north


def _place(box: Sequence[float]) -> str:
    lon, lat = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return f"{abs(lat):.2f} {'N' if lat >= 0 else 'S'}, {abs(lon):.2f} {'E' if lon >= 0 else 'W'}"
