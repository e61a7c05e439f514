"""The house: floors, documentation, what the package carries, and what no file may say."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pathspec
import pytest
import typer.main
from click.testing import CliRunner

import geomap.cli
import geomap.errors
from api.errors import HTTP_CODES, STATUS
from api.settings import Settings
from geomap.errors import GeomapError
from geomap.findings import CODES
from geomap.outputs.tables import COLUMN_DOCS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"scipy", "folium", "matplotlib", "numba", "rasterio", "geopandas"}


def project_files(folder: Path = ROOT) -> Iterator[Path]:
    """Files that are or could be committed: all but what .gitignore names and environments."""
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".gitignore").read_text().splitlines())
    for parent, folders, names in os.walk(folder):
        here = Path(parent).relative_to(ROOT)
        folders[:] = [
            name
            for name in folders
            if name != ".git"
            and not ignored.match_file(f"{here / name}/")
            and not (Path(parent) / name / "pyvenv.cfg").exists()
        ]
        yield from (Path(parent) / name for name in names if not ignored.match_file(here / name))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def headings(text: str) -> set[str]:
    return set(re.findall(r"^## `?(.+?)`?$", text, flags=re.MULTILINE))


def section(name: str, heading: str) -> str:
    return page(name).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


# ---- floors ----


def test_floors_hold():
    # The same check as in `make lint`, so that `make test` alone finds an import that goes up.
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_folder_of_code_is_a_package():
    # Without an __init__ the floors, the types and the coverage pass over a folder in silence.
    folders = {path.parent for name in ("geomap", "api") for path in project_files(ROOT / name) if path.suffix == ".py"}
    assert [
        folder.relative_to(ROOT).as_posix() for folder in sorted(folders) if not (folder / "__init__.py").exists()
    ] == []


def test_the_command_line_starts_without_heavy_libraries():
    code = "import sys, geomap, geomap.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())


# ---- documentation ----


def commands() -> dict[str, click.Command]:
    """Every command of the command line by its full name."""

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield name, command
        else:
            for child in children.values():
                yield from walk(f"{name} {child.name}", child)

    return dict(walk("geomap", typer.main.get_command(geomap.cli.app)))


def test_each_command_stands_in_the_docs_and_the_docs_name_no_other():
    assert headings(page("commands.md")) == commands().keys()


@pytest.mark.parametrize("name", commands())
def test_each_option_stands_in_the_docs_and_the_docs_name_no_other(name):
    documented = set(re.findall(r"^\| `(--[a-z-]+)", section("commands.md", name), flags=re.MULTILINE))
    assert documented == {
        max(option.opts, key=len) for option in commands()[name].params if option.opts[0].startswith("-")
    }


@pytest.mark.parametrize("name", commands())
def test_each_command_says_what_it_does(name):
    command = commands()[name]
    shown = CliRunner().invoke(command, ["--help"], prog_name=name)
    assert shown.exit_code == 0
    assert f"Usage: {name}" in shown.output
    assert command.help


def test_each_finding_stands_in_the_docs_and_the_docs_name_no_other():
    assert headings(page("findings.md")) == CODES.keys()


@pytest.mark.parametrize("code", CODES)
def test_each_finding_has_its_severity_title_example_cost_and_remedy(code):
    severity, title = CODES[code]
    text = section("findings.md", code)
    assert f"*{severity}* · {title}." in text
    assert [part for part in ("Example", "Cost", "What to do") if f"- **{part}**: " not in text] == []


def test_each_error_stands_in_the_docs_with_its_status():
    kinds = {kind for kind in subclasses(GeomapError) if kind.__module__.startswith(("geomap.", "api."))}
    for kind in kinds:
        status = next(STATUS[parent] for parent in kind.__mro__ if parent in STATUS)
        assert f"| `{kind.code}` | {int(status)} |" in page("errors.md")
    for status, code in HTTP_CODES.items():
        assert f"| `{code}` | {status} |" in page("errors.md")


def test_each_error_of_the_house_has_a_code_of_its_own_and_a_row_in_the_table():
    kinds = [kind for kind in vars(geomap.errors).values() if isinstance(kind, type)]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert set(kinds) <= STATUS.keys()


def test_each_column_stands_in_the_docs_and_the_docs_name_no_other():
    rows = [
        line
        for file, columns in COLUMN_DOCS.items()
        for line in (f"## {file}", *(f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in columns.items()))
    ]
    found = [line for line in page("columns.md").splitlines() if line.startswith(("## ", "| `"))]
    assert found == rows


def test_each_setting_of_the_service_stands_in_the_docs():
    for name, field in Settings.model_fields.items():
        row = rf"^\| `GEOMAP_API_{name.upper()}` \| .+ \| {re.escape(field.description)} \|$"
        assert re.search(row, page("service.md"), flags=re.MULTILINE), name


def test_each_page_is_listed_and_each_link_leads_somewhere():
    listed = set(re.findall(r"\((\w+\.md)\)", page("README.md")))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


# ---- what no file may say ----

# Written in pieces, or this file would find itself.
HOSTS = [
    "pypi" + r"\.org",
    "python" + "hosted",
    r"registry\." + "npmjs",
    r"deb\." + "debian",
    "--(extra-)?index" + "-url",
    "find" + "-links",
]
PLACES = [rf"(?<![\w.:/-])/({'|'.join(('wo' + 'rk', 'ro' + 'ot', 'ho' + 'me', 'Us' + 'ers', 'opt'))})/[\w.]"]
FORBIDDEN = re.compile("|".join(HOSTS + PLACES))


def leaks(path: Path) -> list[str]:
    content = path.read_bytes()
    if b"\0" in content[:8192]:
        return []
    lines = content.decode("utf-8", errors="replace").splitlines()
    return [f"{path.relative_to(ROOT)}:{number}" for number, line in enumerate(lines, 1) if FORBIDDEN.search(line)]


def test_no_file_names_a_registry_or_a_place_on_one_machine():
    assert [leak for path in project_files() for leak in leaks(path)] == []


@pytest.mark.parametrize(
    "text",
    ["https://files.python" + "hosted.org/x", "see /wo" + "rk/main/x.py", '"/ho' + 'me/ana/x"', "=/ro" + "ot/.cache"],
)
def test_a_leak_is_found(text):
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize(
    "text", ["frame" + "work/x", "../wo" + "rk/x", "a house at ./ho" + "me/x", "example.org/ro" + "ot/x"]
)
def test_what_only_looks_like_a_leak_is_let_through(text):
    assert not FORBIDDEN.search(text)


# ---- the package ----


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """Names inside a wheel built here, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_the_wheel_carries_exactly_the_two_packages(wheel):
    info = f"geomap_coops-{geomap.__version__}.dist-info"
    assert {name.partition("/")[0] for name in wheel} == {"geomap", "api", info}
    assert f"{info}/licenses/LICENSE" in wheel


def test_the_wheel_carries_every_file_of_the_packages(wheel):
    here = {path.relative_to(ROOT).as_posix() for name in ("geomap", "api") for path in project_files(ROOT / name)}
    assert {name for name in wheel if name.startswith(("geomap/", "api/"))} == here


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_the_locks_have_hashes_for_every_package(lock):
    entries = re.split(r"^(?=[a-z])", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


def test_the_small_lock_is_a_part_of_the_large_one():
    small, large = (
        set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE))
        for lock in ("requirements.lock", "tests/requirements.lock")
    )
    assert small
    assert small <= large
