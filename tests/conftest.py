"""Fixtures of the whole session, and the rule that nothing is skipped in silence."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from geomap.store import Store

# A law holds or it does not; how long a busy machine takes over one example says nothing of it.
hypothesis.settings.register_profile("laws", deadline=None)
hypothesis.settings.load_profile("laws")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = "shared/data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data that stands beside the repository; never a part of it."""
    folder = ROOT.parent / SHARED_DATA
    if not folder.is_dir():
        pytest.skip(f"../{SHARED_DATA} is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def requires_chromium() -> str:
    """Path of the Chromium of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed")


# ---- the store, on both databases ----


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server of this test session alone: in a folder of its own, reached by the socket in it."""

    folder: Path
    programs: Path

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs; as the user postgres where we are root, whom the server refuses."""
        user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []}
        subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            check=True,
            capture_output=True,
            text=True,
            **(user if os.geteuid() == 0 else {}),
        )

    def make(self) -> None:
        """Make the cluster. It need not outlive a loss of power, so it never waits for the disk."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.folder}'",
            "fsync": "off",
            "shared_buffers": "32MB",
            "max_connections": "60",
        }
        with (self.folder / "data/postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self, *, within_s: float = 0) -> None:
        """Start the server, trying again for a while: after a kill, what is left of the old one is in the way."""
        until = time.monotonic() + within_s
        while True:
            try:
                return self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "start")
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def url(self, role: str, database: str = "geomap") -> str:
        """The address of a database for a role."""
        return f"postgresql+psycopg://{role}@/{database}?host={self.folder}"

    def sql(self, *statements: str, database: str = "geomap", role: str = "postgres") -> list[Any]:
        """Run statements, each in a transaction of its own; the rows of the last one."""
        import psycopg

        with psycopg.connect(host=str(self.folder), dbname=database, user=role, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _postgresql_programs() -> Path | None:
    """Folder of PostgreSQL's programs: Debian keeps them off the PATH, one folder per version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _has_postgis(programs: Path) -> bool:
    asked = subprocess.run([programs / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    return asked.returncode == 0 and (Path(asked.stdout.strip()) / "extension/postgis.control").is_file()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL with PostGIS, with the roles geomap_owner and geomap_app and no database of ours."""
    programs = _postgresql_programs()
    if programs is None or not _has_postgis(programs):
        pytest.skip("PostgreSQL with PostGIS is not installed")
    with tempfile.TemporaryDirectory(prefix="geomap-pg-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), programs)
        try:
            cluster.make()
            cluster.start()
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"PostgreSQL does not start as user {os.geteuid()}: {error.stderr}") from error
        try:
            cluster.sql("CREATE ROLE geomap_owner LOGIN", "CREATE ROLE geomap_app LOGIN", database="postgres")
            yield cluster
        finally:
            with suppress(subprocess.CalledProcessError):  # a test killed it
                cluster.stop()


@pytest.fixture
def make_database(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Makes an empty database with PostGIS in it; gives its address for the role that owns it."""
    made: list[str] = []

    def make(*, owner: str = "geomap_owner", extension: bool = True) -> str:
        name = f"made_{len(made)}"
        cluster.sql(f"CREATE DATABASE {name} OWNER {owner}", database="postgres")
        made.append(name)
        if extension:
            cluster.sql("CREATE EXTENSION postgis", database=name)
        return cluster.url(owner, name)

    yield make
    for name in made:
        cluster.sql(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


@pytest.fixture
def empty_database(make_database: Callable[..., str]) -> str:
    """Address of a database with PostGIS and no table, for the role geomap_owner."""
    return make_database()


@pytest.fixture(scope="session")
def _postgres(cluster: Cluster) -> Cluster:
    """The cluster with a store made in the database geomap."""
    from geomap.store import open_store
    from geomap.store.setup import init

    cluster.sql("CREATE DATABASE geomap OWNER geomap_owner", database="postgres")
    cluster.sql("CREATE EXTENSION postgis")
    store = open_store(cluster.url("geomap_owner"))
    init(store)
    store.close()
    return cluster


@pytest.fixture
def postgres_url(_postgres: Cluster) -> str:
    """Address of an empty store in PostGIS, for the role of the service, who does not own the tables."""
    from geomap.store.schema import metadata

    everything = ", ".join(table.name for table in metadata.sorted_tables)
    _postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 'geomap' AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        f"TRUNCATE {everything} RESTART IDENTITY",
    )
    return _postgres.url("geomap_app")


@pytest.fixture(scope="session")
def _sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store in SQLite, to be copied: quicker than to make it again."""
    from geomap.store import open_store
    from geomap.store.setup import init

    path = tmp_path_factory.mktemp("sqlite") / "empty.sqlite"
    store = open_store(f"sqlite:///{path}")
    init(store)
    store.close()
    return path


@pytest.fixture
def sqlite_url(_sqlite_file: Path, tmp_path: Path) -> str:
    """Address of an empty store in SQLite."""
    return f"sqlite:///{shutil.copy(_sqlite_file, tmp_path / 'geomap.sqlite')}"


@pytest.fixture
def sqlite_store(sqlite_url: str) -> "Iterator[Store]":
    """An empty store in SQLite."""
    from geomap.store import open_store

    store = open_store(sqlite_url)
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_url: str) -> "Iterator[Store]":
    """An empty store in PostGIS, opened as the service does."""
    from geomap.store import open_store

    store = open_store(postgres_url)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> "Store":
    """An empty store; each test that asks for it runs on both databases."""
    name = "sqlite_store" if request.param == "sqlite" else "postgres_store"
    opened: Store = request.getfixturevalue(name)
    return opened


# ---- skips ----


def _missing_services(config: pytest.Config) -> list[str]:
    """Reasons of the skips that GEOMAP_REQUIRE_SERVICES=1 does not allow."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("GEOMAP_REQUIRE_SERVICES") != "1" or reporter is None or hasattr(config, "workerinput"):
        return []
    reasons = [
        f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
        for report in reporter.stats.get("skipped", [])
    ]
    return [reason for reason in reasons if SHARED_DATA not in reason]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _missing_services(session.config) and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reasons := _missing_services(config):
        terminalreporter.section("skipped although GEOMAP_REQUIRE_SERVICES=1", sep="=", red=True)
        for reason in reasons:
            terminalreporter.line(reason)
