"""A service with two cooperatives, and a client for everyone who may ask it."""

import dataclasses
import hashlib
import importlib.util
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import Settings
from geomap.store import Scope, Store, open_store
from geomap.store.accounts import add_account
from geomap.store.cooperatives import add_cooperative
from geomap.store.grants import add_grant
from geomap.store.ids import new_id
from geomap.store.schema import rasters
from geomap.store.scope import ALL
from geomap.store.tokens import add_token

_spec = importlib.util.spec_from_file_location("browsing", Path(__file__).with_name("browsing.py"))
assert _spec is not None and _spec.loader is not None
browsing = importlib.util.module_from_spec(_spec)
sys.modules["browsing"] = browsing
_spec.loader.exec_module(browsing)

LOCAL = Scope("local", ALL, "local")
OPERATOR = Scope("operator", ALL, "operator")


@dataclass
class Service:
    """The service, its store, two cooperatives (ours, foreign) and who may ask: name → client."""

    store: Store
    app: Any
    work_dir: Path
    ours: str
    foreign: str
    clients: dict[str, TestClient]
    tokens: dict[str, str]

    def __getattr__(self, name: str) -> TestClient:
        return self.clients[name]

    @property
    def at(self) -> str:
        return f"/cooperatives/{self.ours}"

    @property
    def operator_scope(self) -> Scope:
        return OPERATOR

    def member(self, member_id: str, *, agreed: bool | None = None, **values: Any) -> None:
        answer = self.office.put(f"{self.at}/members/{member_id}", json=values)
        assert answer.status_code in (200, 201), answer.text
        if agreed is not None:
            body = {"purpose": "analysts", "given": agreed}
            answer = self.office.post(f"{self.at}/members/{member_id}/consents", json=body)
            assert answer.status_code == 201, answer.text

    def plot(self, plot_id: str, *, west: float = -88.82, south: float = 14.66, **properties: Any) -> dict[str, Any]:
        answer = self.office.put(f"{self.at}/plots/{plot_id}", json=square(west, south, **properties))
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def send(self, kind: str, name: str, content: str | bytes, **form: Any) -> Any:
        return self.office.post(f"{self.at}/imports", files={"file": (name, content)}, data={"kind": kind, **form})

    def looks(self) -> list[tuple[str, str]]:
        """Action and object of each entry of the audit log, the latest first."""
        rows = self.office.get(f"{self.at}/audit", params={"limit": 1000}).json()["rows"]
        return [(row["action"], row["object"]) for row in rows]


def square(west: float = -88.82, south: float = 14.66, *, side: float = 0.001, **properties: Any) -> dict[str, Any]:
    """A plot of about 1.2 ha as a GeoJSON Feature."""
    east, north = round(west + side, 6), round(south + side, 6)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def service_of(store: Store, work_dir: Path, **settings: Any) -> Service:
    """Who may ask: office, neighbour (another office), analyst and buyer with a grant of ours, operator, nobody."""
    with store.begin(OPERATOR) as tx:
        ours = add_cooperative(tx, code="Flor del Pinar", name="Flor del Pinar", country="HN", crop="coffee")
        foreign = add_cooperative(tx, code="Nueva Aurora", name="Nueva Aurora", country="HN", crop="coffee")
        accounts = {
            "office": add_account(tx, "coop_admin", cooperative="Flor del Pinar"),
            "neighbour": add_account(tx, "coop_admin", cooperative="Nueva Aurora"),
            "analyst": add_account(tx, "analyst"),
            "buyer": add_account(tx, "buyer"),
            "operator": add_account(tx, "operator"),
        }
        tokens = {name: add_token(tx, account) for name, account in accounts.items()}
    with store.begin(LOCAL) as tx:
        add_grant(tx, ours, accounts["analyst"], "plots")
        add_grant(tx, ours, accounts["buyer"], "releases")
    return service_at(store, work_dir, ours, foreign, tokens, **settings)


def service_at(
    store: Store, work_dir: Path, ours: str, foreign: str, tokens: dict[str, str], **settings: Any
) -> Service:
    """The service of a store that knows these cooperatives and tokens, with a client for each token and one without."""
    app = create_app(Settings(**{"work_dir": work_dir, "worker": False, **settings}), store=store)
    clients = {
        name: TestClient(app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)
        for name, token in tokens.items()
    }
    clients["nobody"] = TestClient(app, raise_server_exceptions=False)
    return Service(store, app, work_dir, ours, foreign, clients, tokens)


@pytest.fixture
def service(store: Store, tmp_path: Path) -> Service:
    """A service on each of the two databases."""
    (tmp_path / "work").mkdir()
    return service_of(store, tmp_path / "work")


@pytest.fixture
def light_service(sqlite_store: Store, tmp_path: Path) -> Service:
    """A service on SQLite, where the database makes no difference."""
    (tmp_path / "work").mkdir()
    return service_of(sqlite_store, tmp_path / "work")


@pytest.fixture
def plot_square() -> Callable[..., dict[str, Any]]:
    """Makes a plot as a GeoJSON Feature."""
    return square


# ---- the sample cooperatives ----

CODE = "Flor del Pinar"
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
KINDS = {
    "plots": "plots.geojson",
    "members": "members.csv",
    "deliveries": "deliveries.csv",
    "contracts": "contracts.csv",
    "settings": "cooperatives.csv",
}


def add_raster(service: Service, path: Path = SAMPLE / "landcover.tif", product: str = "esa-worldcover-2021") -> str:
    """The id of a raster that the operator registers."""
    content = path.read_bytes()
    row = {
        "raster_id": new_id(),
        "name": path.name,
        "product": product,
        "path": str(path),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "bounds": [-88.9, 14.5, -88.6, 14.8],
    }
    with service.store.begin(OPERATOR) as tx:
        tx.insert(rasters, row)
    return row["raster_id"]


def cut_sample(folder: Path) -> dict[str, Path]:
    """The sample's files of one cooperative: kind → path."""
    folder.mkdir()
    paths = {kind: folder / name for kind, name in KINDS.items()}
    document = json.loads((SAMPLE / KINDS["plots"]).read_text())
    document["features"] = [one for one in document["features"] if one["properties"]["cooperative_id"] == CODE]
    paths["plots"].write_text(json.dumps(document))
    members = set()
    for kind in ("members", "deliveries", "contracts", "settings"):
        table = pd.read_csv(SAMPLE / KINDS[kind], dtype="str", keep_default_na=False)
        own = table["member_id"].isin(members) if kind == "deliveries" else table["cooperative_id"] == CODE
        table[own].to_csv(paths[kind], index=False)
        members |= set(table[own]["member_id"]) if kind == "members" else set()
    return paths


def add_sample(service: Service, files: dict[str, Path]) -> str:
    """Send the files as the office; the id of the raster."""
    for kind, path in files.items():
        answer = service.send(kind, path.name, path.read_bytes())
        assert answer.status_code == 201, f"{kind}: {answer.text}"
    return add_raster(service)


@dataclass
class Ran:
    """A service with the files of the sample, and a run of them."""

    service: Service
    files: dict[str, Path]
    run: dict[str, Any]

    @property
    def at(self) -> str:
        return f"{self.service.at}/runs/{self.run['run_id']}"


@pytest.fixture(scope="session")
def ran(_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A run of the season 2026/27, summed by community; for tests that only read."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "work").mkdir()
    store = open_store(f"sqlite:///{shutil.copy(_sqlite_file, folder / 'geomap.sqlite')}")
    service, files = service_of(store, folder / "work"), cut_sample(folder / "files")
    add_sample(service, files)
    body = {"season": "2026/27", "by": ["community"], "title": "Kept"}
    answer = service.office.post(f"{service.at}/runs", json=body)
    assert answer.status_code == 201, answer.text
    yield Ran(service, files, answer.json())
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_run(ran: Ran, request: pytest.FixtureRequest) -> Ran:
    """The run of `ran` on each of the two databases; for tests that only read."""
    if request.param == "sqlite":
        return ran
    store = request.getfixturevalue("postgres_store")
    copy_rows(ran.service.store, request.getfixturevalue("cluster"))
    app = create_app(Settings(work_dir=ran.service.work_dir, worker=False), store=store)
    clients = _clients(app, ran.service.tokens)
    return Ran(dataclasses.replace(ran.service, store=store, app=app, clients=clients), ran.files, ran.run)


@pytest.fixture
def real_raster() -> Callable[..., str]:
    """Registers the land cover of the sample."""
    return add_raster


@pytest.fixture(scope="session")
def sample_raster() -> Path:
    """The land cover of the sample."""
    return SAMPLE / "landcover.tif"


# ---- two cooperatives whose people, places and files would be known anywhere ----

ROLES = {
    "office": "coop_admin", "neighbour": "coop_admin", "analyst": "analyst", "analyst_released": "analyst",
    "analyst_late": "analyst", "analyst_none": "analyst", "buyer": "buyer", "buyer_none": "buyer",
    "operator": "operator", "local": "local",
}  # fmt: skip
"""Who may ask: office of cooperative a, neighbour of b; analyst, analyst_released and buyer with grants of a."""
BROKEN = ("nobody", "malformed", "expired", "revoked", "closed")
"""Who shows what opens nothing."""


@dataclass(frozen=True)
class Canaries:
    """Texts of one cooperative that nobody would write by chance: kind → texts."""

    names: tuple[str, ...]
    phones: tuple[str, ...]
    member_ids: tuple[str, ...]
    plot_ids: tuple[str, ...]
    words: tuple[str, ...]
    agreed: tuple[str, ...]
    withheld: tuple[str, ...]

    @classmethod
    def of(cls, letter: str) -> "Canaries":
        """Those of cooperative `letter`; latitudes of its outlines are `agreed` or `withheld` from analysts."""
        digit = "12"["ab".index(letter)]
        return cls(
            names=tuple(f"Zzq{letter} Canaria {word}" for word in ("Uno", "Dos", "Tres")),
            phones=tuple(f"+5040009{digit}{i}11" for i in range(3)),
            member_ids=tuple(f"ZZQM-{letter}-{i}" for i in range(3)),
            plot_ids=tuple(f"ZZQP-{letter}-{i}" for i in range(4)),
            words=tuple(
                f"zzq{word}{letter}"
                for word in ("village", "title", "attribute", "buyer", "file", "setting", "memberattribute")
            ),
            agreed=(f"14.6{digit}3{digit}",),
            withheld=tuple(f"14.6{digit}{i}{digit}" for i in (5, 7, 9)),
        )

    @property
    def all(self) -> tuple[str, ...]:
        people = self.names + self.phones + self.member_ids + self.plot_ids
        return people + self.words + self.agreed + self.withheld


@dataclass
class World:
    """A service with canaries in both cooperatives, a run of each, and a client for everyone who may ask.

    Member 0 agreed that analysts see the plots, 1 took it back, 2 was never asked. Plot 3 is of member 0 and 2.
    """

    service: Service
    clients: dict[str, TestClient]
    secrets: dict[str, str]
    accounts: dict[str, str]
    ids: dict[str, dict[str, str]]
    canaries: dict[str, Canaries]

    @property
    def store(self) -> Store:
        return self.service.store

    def at(self, letter: str) -> str:
        return f"/cooperatives/{self.ids[letter]['cooperative_id']}"


SERVER = "zzqserver"
"""Stands in every path of the world's server."""


@pytest.fixture(scope="session")
def _first_world(_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world as its offices brought it by requests, with two real runs; others are copies of it."""
    folder = tmp_path_factory.mktemp(SERVER)
    (folder / "work").mkdir()
    shutil.copy(SAMPLE / "landcover.tif", folder / "land.tif")
    store = open_store(f"sqlite:///{shutil.copy(_sqlite_file, folder / 'geomap.sqlite')}")
    service = service_of(store, folder / "work")
    add_raster(service, folder / "land.tif")
    accounts, secrets = _accounts(service)
    world = World(
        service, _clients(service.app, secrets), secrets, accounts, {}, {one: Canaries.of(one) for one in "ab"}
    )
    for letter, office, cooperative_id in (("a", "office", service.ours), ("b", "neighbour", service.foreign)):
        world.ids[letter] = _fill(world, letter, world.clients[office], cooperative_id)
    store.close()
    return world


def _copied(first: World, store: Store) -> World:
    """The same world in another store that holds the same rows."""
    work_dir = first.service.work_dir
    app = create_app(Settings(work_dir=work_dir, worker=False), store=store)
    service = Service(store, app, work_dir, first.service.ours, first.service.foreign, {}, {})
    return World(service, _clients(app, first.secrets), first.secrets, first.accounts, first.ids, first.canaries)


def _clients(app: Any, secrets: dict[str, str]) -> dict[str, TestClient]:
    return {
        name: TestClient(
            app,
            headers={"Authorization": f"Bearer {secret}"} if secret else {},
            raise_server_exceptions=False,
            follow_redirects=False,
        )
        for name, secret in secrets.items()
    }


def _accounts(service: Service) -> tuple[dict[str, str], dict[str, str]]:
    """Name → account, and name → token; tokens of `BROKEN` open nothing."""
    from geomap.store.accounts import close_account, local_account
    from geomap.store.scope import clock
    from geomap.store.tokens import public_id, revoke_token

    codes = {"office": "Flor del Pinar", "neighbour": "Nueva Aurora"}
    with service.store.begin(OPERATOR) as tx:
        accounts = {
            name: local_account(tx) if role == "local" else add_account(tx, role, cooperative=codes.get(name))
            for name, role in {**ROLES, "closed": "operator"}.items()
        }
        secrets = {name: add_token(tx, account) for name, account in accounts.items()}
        close_account(tx, accounts["closed"])
        secrets["expired"] = add_token(tx, accounts["office"], days=1e-9)
        secrets["revoked"] = add_token(tx, accounts["office"])
        revoke_token(tx, public_id(secrets["revoked"]))
    secrets |= {"nobody": "", "malformed": "coop_zzqtoken"}
    with service.store.begin(LOCAL) as tx:
        now = clock(tx)
        for name, kind, ends in (
            ("analyst", "plots", None), ("analyst_released", "releases", now + 1e6), ("buyer", "releases", None),
            ("analyst_late", "plots", now - 1), ("analyst_late", "releases", now - 1),
        ):  # fmt: skip
            add_grant(tx, service.ours, accounts[name], kind, starts_at=now - 100, ends_at=ends)
    return accounts, secrets


def _fill(world: World, letter: str, office: TestClient, cooperative_id: str) -> dict[str, str]:
    """Bring what the canaries of a cooperative are, as its office does; an id of each kind of thing that it has."""
    at, told = f"/cooperatives/{cooperative_id}", world.canaries[letter]
    village, title, attribute, buyer, file, setting, member_attribute = told.words

    def sent(answer: Any) -> dict[str, Any]:
        assert answer.status_code in (200, 201), f"{answer.request.url}: {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    def send(kind: str, content: str) -> dict[str, Any]:
        return sent(office.post(f"{at}/imports", files={"file": (f"{file}.csv", content)}, data={"kind": kind}))

    for i, member_id in enumerate(told.member_ids):
        person = {"name": told.names[i], "phone": told.phones[i], "community": village}
        more = {"attributes": {"note": member_attribute}}
        sent(office.put(f"{at}/members/{member_id}", json={**person, **more}))
    for i, given in ((0, True), (1, True), (1, False)):
        body = {"purpose": "analysts", "given": given}
        sent(office.post(f"{at}/members/{told.member_ids[i]}/consents", json=body))
    for i, south in enumerate((*told.agreed, *told.withheld)):
        member_id = told.member_ids[i % 3]
        own = {"member_id": member_id, "community": village, "crop": "coffee", "declared_area_ha": 1.2}
        own["attributes"] = {"owner": attribute, "planted_year": 2015}
        place = {"west": -88.82 + i / 100, "south": float(f"{south}371")}
        sent(office.put(f"{at}/plots/{told.plot_ids[i]}", json=square(**place, **own)))
    send("shares", f"plot_id,member_id,share\n{told.plot_ids[3]},{told.member_ids[0]},0.5\n"
                   f"{told.plot_ids[3]},{told.member_ids[2]},0.5\n")  # fmt: skip
    rows = "".join(f"{member},{2020 + i}-12-01,{400 + i},green\n" for i in range(5) for member in told.member_ids)
    import_id = send("deliveries", f"member_id,date,kg,form\n{rows}ZZQM-stranger,,?,green\n")["import_id"]
    send("contracts", f"buyer,kg,form,month\n{buyer},77,green,2027-03\n")
    sent(office.patch(at, json={"settings": {"note": setting}}))
    decided = {"plot_id": told.plot_ids[0], "decision": "keep", "code": "overlap"}
    sent(office.put(f"{at}/decisions", json={"decisions": [decided]}))
    run = sent(office.post(f"{at}/runs", json={"season": "2026/27", "title": title, "by": ["community"]}))
    signing = {"run_id": run["run_id"], "by": ["community"], "signed_by": told.names[0]}
    released = sent(office.post(f"{at}/releases", json=signing))["release"]
    granted = sent(office.post(f"{at}/grants", json={"account_id": world.accounts["buyer_none"], "kind": "releases",
                                                     "ends_at": 1.0, "starts_at": 0.5}))  # fmt: skip
    return {
        "cooperative_id": cooperative_id, "member_id": told.member_ids[0], "plot_id": told.plot_ids[0],
        "import_id": import_id, "run_id": run["run_id"], "release_id": released["release_id"],
        "grant_id": granted["grant_id"],
        "job_id": office.get(f"{at}/jobs").json()["rows"][0]["job_id"],
    }  # fmt: skip


@pytest.fixture
def light_world(_first_world: World, tmp_path: Path) -> Iterator[World]:
    """`World` on SQLite."""
    store = open_store(f"sqlite:///{shutil.copy(_first_world.service.work_dir.parent / 'geomap.sqlite', tmp_path)}")
    yield _copied(_first_world, store)
    store.close()


def copy_rows(source: Store, cluster: Any) -> None:
    """Put all rows of a store into the empty one of the cluster, as who may do anything."""
    from sqlalchemy import create_engine, select

    from geomap.store.schema import metadata

    server = create_engine(cluster.url("postgres"))
    with source.engine.connect() as old, server.begin() as new:
        for table in metadata.sorted_tables:
            if rows := [dict(row) for row in old.execute(select(table)).mappings()]:
                new.execute(table.insert(), rows)
            if "key" in table.c:
                latest = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'key'), max(key)) FROM {table.name}"
                new.exec_driver_sql(latest)
    server.dispose()


@pytest.fixture
def postgres_world(_first_world: World, postgres_store: Store, cluster: Any) -> World:
    """`World` on PostGIS: its rows, put there by who may do anything."""
    source = open_store(f"sqlite:///{_first_world.service.work_dir.parent / 'geomap.sqlite'}")
    copy_rows(source, cluster)
    source.close()
    return _copied(_first_world, postgres_store)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    """`World`; each test that asks for it runs on both databases."""
    found: World = request.getfixturevalue("light_world" if request.param == "sqlite" else "postgres_world")
    return found


@pytest.fixture(scope="session")
def make_service() -> Callable[..., Service]:
    """Makes a service of a store and a work folder; see `service_of`."""
    return service_of


@pytest.fixture(scope="session")
def sample_files() -> Callable[[Service, Path], Path]:
    """Registers the sample's raster and puts its files of one cooperative into a new folder."""

    def lay_out(service: Service, folder: Path) -> Path:
        cut_sample(folder)
        add_raster(service)
        return folder

    return lay_out


# ---- people before a browser; see browsing.py ----


@pytest.fixture(scope="module")
def chromium(requires_chromium: str) -> Iterator[Any]:
    """Chromium, launched once for a module."""
    with browsing.browsing(requires_chromium) as launched:
        yield launched


@pytest.fixture(scope="module")
def desk(chromium: Any, _sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service with an empty cooperative and a worker, the sample's messy files, and browsers for anybody."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "work").mkdir()
    store = open_store(f"sqlite:///{shutil.copy(_sqlite_file, folder / 'geomap.sqlite')}")
    service = service_of(store, folder / "work", worker=True, secure_cookies=False)
    with browsing.serving(service.app) as url:
        yield browsing.Desk(service, url, folder, chromium, browsing.messy_files(SAMPLE))
    store.close()


@pytest.fixture(scope="module")
def desk_with_run(chromium: Any, ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """As `desk`, of a cooperative whose files were taken in, with one estimate (`desk_with_run.run`)."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "work").mkdir()
    with sqlite3.connect(ran.service.work_dir.parent / "geomap.sqlite") as old:
        with sqlite3.connect(folder / "geomap.sqlite") as new:
            old.backup(new)
        new.close()
    old.close()
    store = open_store(f"sqlite:///{folder / 'geomap.sqlite'}")
    known = (ran.service.ours, ran.service.foreign, ran.service.tokens)
    service = service_at(store, folder / "work", *known, worker=True, secure_cookies=False)
    with browsing.serving(service.app) as url:
        yield browsing.Desk(service, url, folder, chromium, browsing.messy_files(SAMPLE), ran.run)
    store.close()


@pytest.fixture(scope="module")
def office(desk_with_run: Any) -> Any:
    """The office of a cooperative with an estimate, signed in."""
    return desk_with_run.browser("office")
