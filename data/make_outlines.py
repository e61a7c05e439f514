"""Makes geomap/reference/country_outlines.parquet anew: python data/make_outlines.py countries-50m.json.

The source is world-atlas 2.0.2 (TopoJSON, licence ISC), which packages Natural Earth 1:50m (public domain). Borders are
drawn as Natural Earth draws them, disputed ones too; they serve only to ask whether a plot can be where its file says.
"""

import json
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pycountry
import shapely

SOURCE = "Natural Earth 1:50m, public domain, as packaged in world-atlas 2.0.2 (ISC); simplified by about 1 km"
TOLERANCE_DEG = 0.01
GRID_DEG = 1 / 1024  # about 100 m; sums of powers of two take few bytes
WITHOUT_NUMBER = {"Kosovo": "XK", "Somaliland": "SO", "N. Cyprus": "CY"}


def make_outlines(source: Path, out: Path) -> None:
    """Write iso2, name, source and outline of every country in `source` (TopoJSON, layer `countries`) to GeoParquet.

    Neighbours are simplified together, so that no gap opens between them. Coordinates are rounded to 1/1024 degree.
    """
    atlas = json.loads(source.read_text(encoding="utf-8"))
    arcs = [_unpacked(arc, atlas["transform"]) for arc in atlas["arcs"]]
    rows: dict[str, list[Any]] = {"iso2": [], "name": [], "geometry": []}
    for country in atlas["objects"]["countries"]["geometries"]:
        found = pycountry.countries.get(numeric=country["id"]) if country.get("id") else None
        iso2 = found.alpha_2 if found else WITHOUT_NUMBER.get(country["properties"]["name"], "")
        if iso2:
            rows["iso2"].append(iso2)
            rows["name"].append(country["properties"]["name"])
            rows["geometry"].append(_outline(country, arcs))
    table = gpd.GeoDataFrame(rows, crs="EPSG:4326")
    simple = shapely.coverage_simplify(table.geometry.to_numpy(), TOLERANCE_DEG)
    table = table.set_geometry(shapely.set_precision(simple, GRID_DEG), crs="EPSG:4326")
    table = table.dissolve("iso2", aggfunc="first").reset_index().sort_values("iso2", ignore_index=True)
    names = {country.alpha_2: getattr(country, "common_name", country.name) for country in pycountry.countries}
    table["name"] = [names.get(iso2, name) for iso2, name in zip(table["iso2"], table["name"], strict=True)]
    table.assign(source=SOURCE).to_parquet(
        out, index=False, compression="zstd", compression_level=19, schema_version="1.1.0"
    )


def _unpacked(arc: list[list[int]], transform: dict[str, list[float]]) -> np.ndarray:
    return np.cumsum(np.array(arc), axis=0) * transform["scale"] + transform["translate"]


def _outline(country: dict[str, Any], arcs: list[np.ndarray]) -> shapely.Geometry:
    parts = country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]
    polygons = [
        _cut(shapely.Polygon(_ring(rings[0], arcs), [_ring(hole, arcs) for hole in rings[1:]])) for rings in parts
    ]
    return shapely.union_all(polygons)


def _ring(numbers: list[int], arcs: list[np.ndarray]) -> np.ndarray:
    """The arcs end to end; ~n is arc n from its end. Longitudes go on across 180 degrees and close at the pole."""
    lines = [arcs[number] if number >= 0 else arcs[~number][::-1] for number in numbers]
    ring = np.vstack([lines[0], *(line[1:] for line in lines[1:])])
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        ring = np.vstack([ring, [ring[-1, 0], -90], [ring[0, 0], -90], ring[:1]])
    return ring


def _cut(polygon: shapely.Polygon) -> shapely.Geometry:
    """The polygon within ±180 degrees; what lies beyond comes in from the other side."""
    whole = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    turned = [
        shapely.transform(whole, lambda lonlat, turn=turn: lonlat + np.array([turn, 0])) for turn in (-360, 0, 360)
    ]
    pieces = shapely.get_parts(shapely.intersection(turned, shapely.box(-180, -90, 180, 90)))
    return shapely.union_all(pieces[shapely.area(pieces) > 0])


if __name__ == "__main__":
    reference = Path(__file__).parents[1] / "geomap" / "reference"
    make_outlines(Path(sys.argv[1]), reference / "country_outlines.parquet")
