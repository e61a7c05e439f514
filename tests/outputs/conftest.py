"""A run made in code: three cooperatives, sixty members, about 120 plots; and a browser that may be missing."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.transform import from_origin
from scipy import ndimage
from shapely.geometry import Point, Polygon

from geomap.findings import join_findings, make_findings

CHROMIUM = os.environ.get("GEOMAP_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
COOPERATIVES = {"COAGRO": (-88.10, 14.60), "La Esperanza": (-88.02, 14.66), "Río Lindo": (-87.95, 14.58)}
COMMUNITIES = ("El Cedro", "Las Flores", "Agua Fría", "San José")
FIRST = ("Ana", "José", "María", "Luis", "Carmen", "Pedro", "Rosa", "Mario", "Elena", "Óscar")
LAST = ("López", "Mejía", "Núñez", "Pineda", "Reyes", "Zelaya")
LEGEND = pd.DataFrame(
    {
        "name": [
            "Tree cover (includes shade coffee and cocoa)",
            "Shrubland",
            "Grassland",
            "Cropland",
            "Built-up",
            "Permanent water bodies",
        ],
        "color": ["#006400", "#ffbb22", "#ffff4c", "#f096ff", "#fa0000", "#0064c8"],
    },
    index=pd.Index([10, 20, 30, 40, 50, 80], name="class"),
)
HOSTILE = (
    "{{ 7*191 }}",
    "{% raw %}",
    "{# x #} {{ }}",
    "<img src=x onerror=\"window.marker='img'\">",
    "</script><script>window.marker='script'</script>",
    "${window.marker='dollar'}",
    "` + (window.marker='tick') + `",
    "\\` \\u003c \\",
    "=1+1",
    "<!--data--> <!--map-->",
    "\u202egnp.exe\u202c",
)
"""Harmless markers in the shapes that break map pages (text, template, tag, script end, literals)."""


@dataclass(frozen=True)
class FakeRun:
    """The same fields as `geomap.run.Run`."""

    plots: gpd.GeoDataFrame
    classes: pd.DataFrame
    members: pd.DataFrame
    cooperatives: pd.DataFrame
    by: dict[str, pd.DataFrame]
    total: pd.Series
    months: pd.DataFrame
    variance: pd.DataFrame
    environment: pd.DataFrame
    findings: pd.DataFrame
    summary: dict
    rasters: tuple[Path, ...]
    product: SimpleNamespace
    timings: dict[str, float]
    profile: None = None
    outlook: None = None
    other_maps: None = None
    left_out: gpd.GeoDataFrame = field(default_factory=lambda: gpd.GeoDataFrame(geometry=[], crs="EPSG:4326"))
    next_steps: pd.DataFrame | None = None


def _quantiles(mean, cv):
    s = np.sqrt(np.log1p(np.square(cv)))
    p50 = mean * np.exp(-s * s / 2)
    return {
        "potential_kg": mean,
        "potential_p10_kg": p50 * np.exp(-1.2816 * s),
        "potential_p50_kg": p50,
        "potential_p90_kg": p50 * np.exp(1.2816 * s),
    }


def _no_supply(table):
    for name in ("supply_kg", "supply_p10_kg", "supply_p50_kg", "supply_p90_kg"):
        table[name] = np.nan
    return table


def _plots(n_members, plots_per_member, names, rng):
    rows = []
    coops = list(COOPERATIVES)
    for member in range(n_members):
        coop = coops[member % 3]
        lon0, lat0 = COOPERATIVES[coop]
        home = rng.normal((lon0, lat0), 0.02)
        for k in range(plots_per_member):
            lon, lat = rng.normal(home, 0.003)
            half = np.sqrt(rng.uniform(0.3, 2.5)) * 0.00046
            corners = [
                (lon + half * a, lat + half * b * rng.uniform(0.7, 1.2))
                for a, b in ((-1, -1), (1, -1), (1.2, 0.2), (0.8, 1), (-1, 1))
            ]
            declared = member % 20 == 7 and k == 1
            rows.append(
                {
                    "plot_id": f"P{member:04d}-{k + 1}",
                    "member_id": f"M{member:04d}",
                    "cooperative_id": coop,
                    "community": names(member, COMMUNITIES[member % 4]),
                    "crop": "coffee",
                    "kind": "declared" if declared else "measured",
                    "geometry": Point(lon, lat) if declared else Polygon(corners),
                    "area_ha": (2 * half / 0.00092) ** 2,
                }
            )
    frame = gpd.GeoDataFrame(rows, crs="EPSG:4326").set_index("plot_id").sort_index()
    frame["given_id"] = frame.index
    frame["counted_area_ha"] = frame["area_ha"]
    frame["nodata_ha"] = 0.0
    frame["outside_ha"] = 0.0
    frame["productive_ha"] = frame["area_ha"] * rng.uniform(0.75, 0.99, len(frame))
    for name, value in _quantiles(frame["productive_ha"] * 950, 0.75).items():
        frame[name] = value
    frame["supply_kg"] = np.nan
    frame["certification"] = np.where(np.arange(len(frame)) % 3 == 0, "organic", "none")
    return frame


def _sums(plots, by, members, cv):
    """Sums of plots and members by one column; the last tenth of the members has no plot."""
    sums = plots.groupby(by).agg(
        plots=("area_ha", "size"),
        area_ha=("area_ha", "sum"),
        productive_ha=("productive_ha", "sum"),
        mean=("potential_kg", "sum"),
    )
    table = pd.DataFrame(index=sums.index.rename("id"))
    table["members"] = members.groupby(by)["members"].sum()
    table["plots"] = sums["plots"]
    table["members_mapped"] = members.groupby(by)["members_mapped"].sum()
    table["area_ha"], table["productive_ha"] = sums["area_ha"], sums["productive_ha"]
    table["unmapped_kg"] = members[members["members_mapped"] == 0].groupby(by)["potential_kg"].sum()
    table["unmapped_kg"] = table["unmapped_kg"].fillna(0.0)
    for name, value in _quantiles(sums["mean"] + table["unmapped_kg"], cv).items():
        table[name] = value
    return _no_supply(table).reset_index()


def _members(plots, unmapped, names):
    table = plots.groupby("member_id").agg(
        cooperative_id=("cooperative_id", "first"),
        community=("community", "first"),
        plots=("area_ha", "size"),
        area_ha=("area_ha", "sum"),
        productive_ha=("productive_ha", "sum"),
        mean=("potential_kg", "sum"),
    )
    extra = pd.DataFrame(
        {
            "cooperative_id": [list(COOPERATIVES)[k % 3] for k in range(unmapped)],
            "community": [COMMUNITIES[k % 4] for k in range(unmapped)],
            "plots": 0,
            "area_ha": 0.0,
            "productive_ha": 0.0,
            "mean": 900.0,
        },
        index=pd.Index([f"U{k:04d}" for k in range(unmapped)], name="member_id"),
    )
    table = pd.concat([table, extra]).sort_index()
    table["members"] = 1
    table["members_mapped"] = (table["plots"] > 0).astype(int)
    table["name"] = [names(k, f"{FIRST[k % 10]} {LAST[(k // 10) % 6]}") for k in range(len(table))]
    for name, value in _quantiles(table.pop("mean"), 0.65).items():
        table[name] = value
    return _no_supply(table.rename_axis("id").reset_index())


def _months(coops):
    shares = {"2026-11": 0.1, "2026-12": 0.2, "2027-01": 0.3, "2027-02": 0.2, "2027-03": 0.15, "2027-04": 0.05}
    rows = [
        {"cooperative_id": c.id, "month": month, "quantity": "potential"}
        | {
            k.replace("potential_", "").replace("kg", "mean_kg")
            if k == "potential_kg"
            else k.replace("potential_", ""): v
            for k, v in _quantiles(c.potential_kg * share, 0.55).items()
        }
        for c in coops.itertuples()
        for month, share in shares.items()
    ]
    return pd.DataFrame(rows)


def _findings(plots):
    ids = list(plots.index)
    return join_findings(
        [
            make_findings(
                "overlap",
                ids[3:5],
                "0.12 ha of this ground is claimed by another plot too; it is shared between them.",
                effect_ha=-0.06,
                action="split",
            ),
            make_findings(
                "nodata", ids[10:12], "The land-cover raster has no data on 0.4 ha of the plot.", effect_ha=0.0
            ),
            make_findings("too_small_to_judge", ids[20:24], "The plot covers fewer than 9 cells of 10 m."),
            make_findings("invalid", ["P9999-1"], "The outline crosses itself at 14.61 N, 88.09 W.", action="left_out"),
        ]
    )


def _raster(path, plots):
    west, south, east, north = plots.total_bounds + np.array([-0.4, -0.4, 0.4, 0.4])
    step = 0.001
    width, height = round((east - west) / step), round((north - south) / step)
    noise = np.random.default_rng(3).normal(size=(2, height, width))
    soft, sharp = (ndimage.gaussian_filter(layer, sigma) for layer, sigma in zip(noise, (14, 3), strict=True))
    level = soft / soft.std() + 0.4 * sharp / sharp.std()
    data = np.select([level > 2.4, level > 1.6, level > 1.2, level < -2.3], [50, 40, 30, 80], 10).astype("uint8")
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": 1,
        "dtype": "uint8",
        "nodata": 0,
        "crs": "EPSG:4326",
        "compress": "deflate",
        "tiled": True,
    }
    with rasterio.open(path, "w", transform=from_origin(west, north, step, step), **profile) as target:
        target.write(data, 1)
    return path


def make_fake_run(folder, *, n_members=54, plots_per_member=2, hostile=False, seed=1):
    """A run with `n_members` mapped members, a ninth more without a plot, and hostile names where asked."""

    def names(k, usual):
        return HOSTILE[k % len(HOSTILE)] if hostile else usual

    rng = np.random.default_rng(seed)
    plots = _plots(n_members, plots_per_member, names, rng)
    if hostile:
        plots.index = pd.Index(
            [f"{HOSTILE[k % len(HOSTILE)]}#{k}" for k in range(len(plots))], name="plot_id", dtype="str"
        )
    members = _members(plots, n_members // 9, names)
    if hostile:
        swap = dict(zip(COOPERATIVES, HOSTILE, strict=False))
        plots["cooperative_id"] = plots["cooperative_id"].map(swap)
        members["cooperative_id"] = members["cooperative_id"].map(swap)
    coops = _sums(plots, "cooperative_id", members, 0.42)
    total = _sums(plots.assign(all="all"), "all", members.assign(all="all"), 0.36).iloc[0]
    classes = pd.DataFrame(
        [
            {
                "plot_id": plot_id,
                "product": "esa-worldcover-2021",
                "class": code,
                "name": LEGEND.loc[code, "name"],
                "area_ha": area * share,
            }
            for plot_id, area in plots["area_ha"].items()
            for code, share in ((10, 0.85), (30, 0.15))
        ]
    )
    environment = pd.DataFrame(
        [
            {"cooperative_id": c.id, "class": code, "name": name, "area_ha": c.area_ha * share, "share": share}
            for c in coops.itertuples()
            for code, name, share in ((10, "Tree cover", 0.84), (30, "Grassland", 0.15), (-1, "no data", 0.01))
        ]
    )
    variance = pd.DataFrame(
        [
            {"cooperative_id": c, "quantity": "potential", "source": source, "share": share}
            for c in [*coops["id"], "all"]
            for source, share in (
                ("base_yield", 0.52),
                ("cooperative", 0.33),
                ("season", 0.08),
                ("drawn", 0.04),
                ("plot", 0.03),
            )
        ]
    )
    keys = [
        "members",
        "members_mapped",
        "plots",
        "area_ha",
        "productive_ha",
        "potential_kg",
        "potential_p10_kg",
        "potential_p50_kg",
        "potential_p90_kg",
    ]
    summary = {
        "parameters": {
            "crop": "coffee",
            "country": "HN",
            "country_name": "Honduras",
            "form": "green",
            "form_title": "green coffee",
            "product": "esa-worldcover-2021",
            "season": "2026/27",
            "by": ["community"],
        },
        "inputs": [{"role": "plots", "name": "plots.geojson", "sha256": "ab" * 32, "bytes": 123456}],
        "versions": {"geomap": "0.1.0", "python": "3.11.7"},
        "tables": {"base_yields": "1"},
        "totals": {key: float(total[key]) for key in keys},
        "assumptions": [
            {"term": "base yield", "value": "1,150 kg/ha", "support": "medium", "source": "national statistics"}
        ],
        "warnings": ["One accuracy for a continent is wrong by about a tenth in a region."],
        "evidence": "country averages",
    }
    product = SimpleNamespace(
        threshold=None,
        name="esa-worldcover-2021",
        nodata=0,
        version="v200",
        title="ESA WorldCover 2021",
        year=2021,
        legend=LEGEND,
        licence="CC-BY-4.0",
        attribution="© ESA WorldCover project 2021 / contains modified Copernicus Sentinel data",
    )
    by = {"community": _sums(plots, "community", members, 0.45)}
    return FakeRun(
        plots,
        classes,
        members,
        coops,
        by,
        total,
        _months(coops),
        variance,
        environment,
        _findings(plots),
        summary,
        (_raster(folder / "land_cover.tif", plots),),
        product,
        {"read": 0.1},
    )


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    def make(**options):
        return make_fake_run(tmp_path_factory.mktemp("run"), **options)

    return make


@pytest.fixture(scope="session")
def run(make_run):
    return make_run()


@pytest.fixture(scope="session")
def hostile_run(make_run):
    return make_run(hostile=True)


@pytest.fixture(scope="session")
def chromium():
    """One headless browser for the session; a missing one skips, or fails where services are required."""
    required = os.environ.get("GEOMAP_REQUIRE_SERVICES") == "1"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or not CHROMIUM:
        missing = "playwright" if sync_playwright is None else "Chromium (set GEOMAP_CHROMIUM)"
        (pytest.fail if required else pytest.skip)(f"needs {missing}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser
        browser.close()


@pytest.fixture
def chromium_page(chromium, tmp_path):
    """`open_page(html, width=…, height=…)` -> page; its `requests` and `problems` say what it asked and complained."""
    contexts = []

    def open_page(html, *, width=1280, height=800):
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.requests, page.problems = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on(
            "console",
            lambda message: page.problems.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("dialog", lambda dialog: (page.problems.append("dialog"), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
