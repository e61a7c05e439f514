import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.landcover.product import product


@pytest.fixture(scope="session")
def worldcover():
    return product("esa-worldcover-2021")


@pytest.fixture
def write_raster(tmp_path):
    """Write class codes as a GeoTIFF; returns its path."""

    def write(codes, *, west=0.0, north=0.0, cell=1.0, crs="EPSG:4326", name="map.tif", mask=None, **options):
        codes = np.asarray(codes, dtype=options.pop("dtype", "uint8"))
        transform = options.pop("transform", from_origin(west, north, cell, cell))
        bands = codes if codes.ndim == 3 else codes[None]
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=bands.shape[1], width=bands.shape[2], count=len(bands),
            dtype=bands.dtype, crs=crs, transform=transform, **options,
        ) as target:  # fmt: skip
            target.write(bands)
            if mask is not None:
                target.write_mask(np.asarray(mask, dtype=bool))
        return tmp_path / name

    return write


def make_plots(shapes, ids=None, crs="EPSG:4326"):
    index = [f"P{i:03d}" for i in range(len(shapes))] if ids is None else ids
    plots = gpd.GeoDataFrame(geometry=list(shapes), index=index, crs=crs)
    return plots.rename_axis("plot_id")


@pytest.fixture
def village():
    """Plots of 4 to 12 corners around a point in the Honduran highlands, some with a hole or two parts."""

    def make(count, seed=0, west=-88.7, north=14.7, reach=0.05):
        rng = np.random.default_rng(seed)
        centres = np.column_stack([west + rng.uniform(0, reach, count), north - rng.uniform(0, reach, count)])
        shapes = []
        for x, y in centres:
            corners = rng.integers(4, 13)
            angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
            radius = rng.uniform(0.0002, 0.0008, corners)
            shape = shapely.Polygon(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])).buffer(0)
            if rng.random() < 0.2:
                shape = shape - shapely.Point(x, y).buffer(0.0001)
            if rng.random() < 0.1:
                shape = shape.union(shapely.box(x + 0.001, y, x + 0.0012, y + 0.0003))
            shapes.append(shape)
        return make_plots(shapes)

    return make
