"""A made landscape: fractal hills, a river valley, villages, and the land-cover map one would draw of them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Floats = NDArray[np.float32]
CELL: Final = 1 / 12_000
"""Cell size of a 10 m land-cover map, degrees."""
TREE, SHRUB, GRASS, CROP, BUILT, BARE, WATER, WETLAND = 10, 20, 30, 40, 50, 60, 80, 90


@dataclass(frozen=True)
class Landscape:
    """Elevation and land cover on one grid, EPSG:4326, north up.

    Attributes
    ----------
    west, north : degrees, the outer corner of the first cell.
    elevation : (rows, columns) metres.
    cover : (rows, columns) WorldCover codes; 0 is no data.
    villages : (n, 2) row and column of the village centres.
    """

    west: float
    north: float
    elevation: Floats
    cover: NDArray[np.uint8]
    villages: NDArray[np.int64]

    def cells(self, lonlat: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Row and column of the cells at (n, 2) positions, held inside the grid, and whether they were inside."""
        at = np.floor(np.column_stack([self.north - lonlat[:, 1], lonlat[:, 0] - self.west]) / CELL).astype(np.int64)
        held = np.clip(at, 0, np.array(self.cover.shape) - 1)
        return held[:, 0], held[:, 1], (at == held).all(axis=1)

    def lonlat(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Longitude and latitude of the centres of (n, 2) cells given as row and column."""
        return np.column_stack([self.west + (cells[:, 1] + 0.5) * CELL, self.north - (cells[:, 0] + 0.5) * CELL])


def fractal(rng: np.random.Generator, shape: tuple[int, int], *, roughness: float, longest: float = np.inf) -> Floats:
    """Fractal noise of mean 0 and standard deviation 1, by spectral synthesis; its opposite edges meet.

    White noise is filtered to the power spectrum `k ** -roughness`: about 4 gives hills, 3 patches, 0 white noise.

    Parameters
    ----------
    shape : rows and columns.
    longest : the longest wave kept, in cells.

    Source: Saupe (1988), Algorithms for random fractals, section 2.5 (Fourier filtering).

    Examples
    --------
    >>> field = fractal(np.random.default_rng(1), (64, 64), roughness=3.0)
    >>> field.shape, abs(round(float(field.mean()), 3)), round(float(field.std()), 3)
    ((64, 64), 0.0, 1.0)
    """
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    k2 = (np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1])[None, :] ** 2).astype(np.float32)
    k2[0, 0] = np.inf
    gain = k2 ** np.float32(-roughness / 4)
    gain[k2 < longest**-2] = 0
    field = np.fft.irfft2(spectrum * gain, s=shape).astype(np.float32)
    return np.asarray(field / field.std(), dtype=np.float32)


def make_landscape(
    rng: np.random.Generator, *, west: float, north: float, size: int = 3000, villages: int = 14
) -> Landscape:
    """A square of highland with a river valley, `villages` villages at 950–1,400 m and their land cover.

    Shares come out near tree 60 %, grass 25 %, cropland 8 %, shrub 5 %; the rest is built-up, bare, water and wetland.
    The south-east corner has no data, as at the edge of a satellite's swath.
    """
    shape = (size, size)
    course = _river_course(rng, size)
    elevation = _elevation(rng, course)
    slope = _slope(elevation)
    sites = _village_sites(rng, elevation, slope, villages)
    near = _nearness(shape, sites, reach=90)
    cover = _vegetation(rng, elevation, slope, near)
    _paint_water(rng, cover, elevation, course)
    _paint_built(rng, cover, sites)
    rows, columns = np.ogrid[:size, :size]
    cover[(rows + 0.6 * columns) > 1.6 * size - 0.10 * size] = 0
    return Landscape(west, north, elevation, cover, sites)


def _river_course(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Row of a meandering river in each column, from the west edge to the east."""
    window = np.hanning(size // 12)
    walk = np.convolve(np.cumsum(rng.normal(size=size)), window / window.sum(), mode="same")
    walk -= np.linspace(walk[0], walk[-1], size)
    wide = 0.09 * size * walk / np.abs(walk).max()
    bends = np.sin(np.arange(size) / 31 + wide / 40) * (5 + 3 * np.sin(np.arange(size) / 210))
    return np.asarray(0.62 * size + wide + bends)


def _elevation(rng: np.random.Generator, course: NDArray[np.float64]) -> Floats:
    """Metres: folded noise makes ridges, plain noise the rest, and the river its valley."""
    size = len(course)
    hills = fractal(rng, (size, size), roughness=3.6)
    ridges = -np.abs(fractal(rng, (size, size), roughness=3.8, longest=size / 2.2))
    raised = 1180 + 230 * hills + 260 * (ridges + 0.8)
    rows = np.arange(size, dtype=np.float32)[:, None]
    apart = np.abs(
        rows - np.convolve(np.pad(course, 60, mode="edge"), np.full(121, 1 / 121), mode="valid").astype(np.float32)
    )
    valley = np.exp(-((apart / np.float32(0.085 * size)) ** np.float32(1.2)))
    floor = 640 + 25 * hills
    return np.asarray(np.maximum(raised * (1 - valley) + floor * valley, 420 + 10 * hills), dtype=np.float32)


def _slope(elevation: Floats) -> Floats:
    """Rise over run of the land, smoothed over 150 m; cells of 9.2 m."""
    south, east = np.gradient(elevation)
    return np.asarray(uniform_filter(np.hypot(south, east) / np.float32(9.2), 17), dtype=np.float32)


def _village_sites(rng: np.random.Generator, elevation: Floats, slope: Floats, count: int) -> NDArray[np.int64]:
    """Row and column of sites at 950–1,400 m on gentle ground, far from each other and from the edges."""
    size = elevation.shape[0]
    tried = rng.integers(int(0.08 * size), int(0.86 * size), size=(4000, 2))
    height, steep = elevation[*tried.T], slope[*tried.T]
    good = tried[(height > 950) & (height < 1400) & (steep < np.quantile(slope[::5, ::5], 0.55))]
    sites = good[:1]
    while len(sites) < count:
        apart = np.min(np.hypot(*(good[:, None, :] - sites[None, :, :]).transpose(2, 0, 1)), axis=1)
        far = good[apart > min(0.085 * size, 0.999 * apart.max())]
        sites = np.vstack([sites, far[:1]])
    return np.asarray(sites)


def _nearness(shape: tuple[int, int], sites: NDArray[np.int64], *, reach: int) -> Floats:
    """1 at a village, falling to 1/e at `reach` cells; 0 beyond six times that."""
    near = np.zeros(shape, dtype=np.float32)
    for row, column in sites:
        top, left = max(row - 6 * reach, 0), max(column - 6 * reach, 0)
        place = near[top : row + 6 * reach, left : column + 6 * reach]
        rows, columns = np.ogrid[top : top + place.shape[0], left : left + place.shape[1]]
        apart = np.hypot((rows - row).astype(np.float32), (columns - column).astype(np.float32))
        np.maximum(place, np.exp(-apart / np.float32(reach)), out=place)
    return near


def _standard(field: Floats) -> Floats:
    some = field[::7, ::7]
    return np.asarray((field - some.mean()) / some.std(), dtype=np.float32)


def _above(score: Floats, share: float, within: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """The `share` of cells (of those within) with the highest score."""
    some = score[::7, ::7] if within is None else score[::7, ::7][within[::7, ::7]]
    chosen = score > np.quantile(some, 1 - share)
    return np.asarray(chosen if within is None else chosen & within)


def _vegetation(rng: np.random.Generator, elevation: Floats, slope: Floats, near: Floats) -> NDArray[np.uint8]:
    """Trees on steep, high and moist ground; crops on flat ground near villages; shrub between; grass for the rest."""
    shape = (elevation.shape[0], elevation.shape[1])
    moist = fractal(rng, shape, roughness=3.0, longest=600)
    fine = fractal(rng, shape, roughness=2.8, longest=120)
    other = fractal(rng, shape, roughness=2.8, longest=200)
    steep, high = _standard(slope), _standard(elevation)
    tree_score = 0.7 * steep + 0.5 * high + 0.9 * moist + 0.9 * fine - 1.0 * near
    tree = _above(tree_score, 0.62)
    cover = np.where(tree, TREE, GRASS).astype(np.uint8)
    crop = _above(-0.9 * steep + 1.0 * other + 2.0 * near - 0.4 * moist, 0.24, ~tree)
    cover[crop] = CROP
    shrub = _above(0.8 * tree_score - 0.9 * other - 0.5 * fine, 0.16, ~tree & ~crop)
    cover[shrub] = SHRUB
    cover[_above(steep - 1.5 * fine - 1.5 * other, 0.006, ~tree)] = BARE
    return cover


def _paint_water(
    rng: np.random.Generator, cover: NDArray[np.uint8], elevation: Floats, course: NDArray[np.float64]
) -> None:
    """A river of 30–70 m with gravel bars, and a lake with a reedy upper end. Changes cover."""
    size = len(course)
    rows, columns = np.ogrid[:size, :size]
    distance = np.abs(rows - course).astype(np.float32) / np.hypot(1, np.gradient(course)).astype(np.float32)
    width = 2.4 + 1.0 * np.sin(np.arange(size) / 170)
    banks = fractal(rng, (size, size), roughness=3.0, longest=300)
    along = (columns - 0.22 * size) / (0.05 * size)
    across = 0.016 * size * np.sqrt(np.clip(1 - along**2, 0, None))
    lake = (distance + 11 * banks < across) & (np.abs(along) < 1)
    shore = (distance + 11 * banks < across + 8) & (np.abs(along + 0.8) < 0.3)
    cover[(distance < width + 2.5) & (banks > 1.1)] = BARE
    cover[shore & (elevation < 760)] = WETLAND
    cover[lake | (distance < width)] = WATER


def _paint_built(rng: np.random.Generator, cover: NDArray[np.uint8], sites: NDArray[np.int64]) -> None:
    """A ragged core and scattered hamlets at every village. Changes cover."""
    half = 150
    rows, columns = np.mgrid[-half:half, -half:half]
    for row, column in sites:
        reach = rng.uniform(10, 24)
        ragged = fractal(rng, (2 * half, 2 * half), roughness=2.4, longest=60)
        core = np.exp(-(rows**2 + columns**2) / (2 * reach**2)) + 0.28 * ragged > 0.62
        hamlets = (0.004 * np.hypot(rows, columns) < 0.5) & (ragged > 2.9)
        place = cover[row - half : row + half, column - half : column + half]
        place[(core | hamlets) & (place != WATER)] = BUILT
