"""The kernel against cells that a reader can check, shapely, supersampling and exactextract."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.landcover.coverage import coverage

SHAPE = (8, 9)


def rings_of(shape):
    rings, part = shapely.get_rings(shapely.get_parts(shape), return_index=True)
    xy = shapely.get_coordinates(rings)
    starts = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(rings))])
    return xy[:, 0].copy(), xy[:, 1].copy(), starts, np.r_[False, part[1:] == part[:-1]]


def covered(shape, cells=SHAPE):
    return coverage(*rings_of(shape), cells)


def by_intersection(shape, cells=SHAPE):
    rows, columns = np.mgrid[: cells[0], : cells[1]]
    return shapely.area(shapely.intersection(shapely.box(columns, rows, columns + 1, rows + 1), shape))


def star(rng, *, grid=None):
    """A star-shaped polygon that may reach beyond the raster, with corners on cell lines where `grid` is given."""
    count = rng.integers(3, 15)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    radius = rng.uniform(0.5, 6, count)
    centre = rng.uniform(-2, 10, 2)
    xy = centre + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return shapely.Polygon(xy if grid is None else np.round(xy / grid) * grid)


def test_a_square_over_four_cells_covers_a_quarter_of_each():
    assert covered(shapely.box(0.5, 0.5, 1.5, 1.5), (3, 3)).tolist() == [[0.25, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0]]


def test_a_triangle_halves_the_cells_on_its_long_side():
    triangle = shapely.Polygon([(0, 0), (3, 3), (0, 3)])
    assert covered(triangle, (3, 3)).tolist() == [[0.5, 0, 0], [1, 0.5, 0], [1, 1, 0.5]]


def test_a_hole_is_not_covered():
    ring = shapely.box(0, 0, 3, 3) - shapely.box(1, 1, 2, 2)
    assert covered(ring, (3, 3)).tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]


def test_ground_left_of_above_and_beyond_the_raster_is_cut_off():
    assert covered(shapely.box(-5, -5, 0.5, 20), (2, 2)).tolist() == [[0.5, 0], [0.5, 0]]
    assert covered(shapely.box(1.5, -5, 20, 20), (2, 2)).tolist() == [[0, 0.5], [0, 0.5]]


def test_every_part_of_a_multipolygon_counts():
    parts = shapely.union_all([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 2.5)])
    assert covered(parts, (3, 3)).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0.5]]


@given(seed=st.integers(0, 2**32 - 1), grid=st.sampled_from([None, 1.0, 0.5]), hole=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_outline_covers_what_intersection_says(seed, grid, hole):
    rng = np.random.default_rng(seed)
    shape = star(rng, grid=grid)
    if hole:
        shape = shape.buffer(0) - shapely.Point(rng.uniform(0, 8, 2)).buffer(0.7)
    if not shape.is_valid or shape.is_empty:
        return
    assert np.abs(covered(shape) - by_intersection(shape)).max() < 1e-13


@pytest.mark.parametrize("seed", range(5))
def test_supersampling_fifty_times_agrees_with_the_kernel(seed):
    shape = star(np.random.default_rng(seed))
    shapely.prepare(shape)
    fine = (np.arange(50) + 0.5) / 50
    y, x = (np.add.outer(np.arange(n), fine).ravel() for n in SHAPE)
    inside = shapely.contains_xy(shape, *np.meshgrid(x, y)).reshape(SHAPE[0], 50, SHAPE[1], 50).mean(axis=(1, 3))
    # 50 lines a side: an edge that runs through a cell misses at most about half a line, 1/100, on each crossing.
    assert np.abs(covered(shape) - inside).max() < 0.02
    assert covered(shape).sum() == pytest.approx(inside.sum(), rel=0.003)


def test_a_hole_that_runs_like_its_shell_is_a_hole():
    shell, hole = [(0, 0), (3, 0), (3, 3), (0, 3)], [(1, 1), (2, 1), (2, 2), (1, 2)]
    for ring in (hole, hole[::-1]):
        assert covered(shapely.Polygon(shell, [ring]), (3, 3)).sum() == 8


def test_the_start_and_direction_of_a_ring_do_not_matter():
    shape = star(np.random.default_rng(3))
    xy = shapely.get_coordinates(shape)[:-1]
    turned = shapely.Polygon(np.roll(xy, 4, axis=0)[::-1])
    assert np.abs(covered(shape) - covered(turned)).max() < 1e-14


def run_kernel(cache, *, source=None, **environment):
    """Cover one cell in a process of its own; returns it finished."""
    code = (
        "import numpy as np, sys\n"
        "from geomap.landcover import coverage as c\n"
        "print(c.__file__, c._cache_folder(), c.coverage(np.array([0,.5,.5,0,0.]), np.array([0,0,1,1,0.]),"
        " np.array([0,5]), np.array([False]), (1,1))[0,0])"
    )
    env = {"PATH": os.environ["PATH"], "GEOMAP_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, cwd=source, capture_output=True, text=True, check=True)


def copy_of_the_package(folder: Path) -> Path:
    """A second installation that holds the kernel alone."""
    import geomap.landcover.coverage as original

    (folder / "geomap" / "landcover").mkdir(parents=True)
    for init in (folder / "geomap" / "__init__.py", folder / "geomap" / "landcover" / "__init__.py"):
        init.touch()
    kernel = folder / "geomap" / "landcover" / "coverage.py"
    kernel.write_bytes(Path(original.__file__).read_bytes())
    return kernel


def test_changed_code_is_never_served_from_the_cache(tmp_path):
    kernel = copy_of_the_package(tmp_path / "src")
    first = run_kernel(tmp_path / "cache", source=tmp_path / "src")
    assert str(kernel) in first.stdout
    assert first.stdout.endswith("0.5\n")
    stamp = kernel.stat()
    kernel.write_text(kernel.read_text().replace("run = 0.0", "run = 2.0"))
    os.utime(kernel, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert kernel.stat().st_size == stamp.st_size  # same size and time: only the content differs
    assert kernel.stat().st_mtime_ns == stamp.st_mtime_ns
    second = run_kernel(tmp_path / "cache", source=tmp_path / "src")
    assert second.stdout.split()[-1] in {"1.5", "2.5"}


def test_a_second_process_finds_the_kernel_in_the_cache(tmp_path):
    run_kernel(tmp_path)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert made
    run_kernel(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == made
    (folder,) = (tmp_path / "geomap" / "kernels").iterdir()
    assert os.name != "posix" or folder.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_costs_the_cache_and_nothing_else(tmp_path):
    copy_of_the_package(tmp_path / "src")
    blocked = tmp_path / "file"
    blocked.touch()
    done = run_kernel(blocked, source=tmp_path / "src", HOME="/nonexistent")
    assert done.stdout.split()[1:] == ["None", "0.5"]
    assert not list((tmp_path / "src").rglob("*.nbi"))


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_machine_code_that_others_could_have_written_is_not_used(tmp_path):
    run_kernel(tmp_path)
    (folder,) = (tmp_path / "geomap" / "kernels").iterdir()
    folder.chmod(0o777)
    assert run_kernel(tmp_path).stdout.split()[1] == "None"
