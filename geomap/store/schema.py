"""The tables of the store: one description for SQLite and PostGIS.

Times are seconds since 1970 by the database's own clock. What a cooperative gave is kept as given. Each table says in
`info` which roles may read and write it; a table of a tenant also has the column `cooperative_id`.
`geomap.store.scope` enforces both on either database, and row-level security once more on PostgreSQL.
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from geomap.store.types import KEY, Wkb, now

OFFICE: Final = frozenset({"coop_admin", "local"})
KEEPERS: Final = frozenset({"local", "operator"})
WORKER: Final = frozenset({"worker"})
SERVICE: Final = frozenset({"service"})
"""The service itself, while it finds out who is asking."""
READERS: Final = frozenset({"analyst", "buyer"})

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *parts: Any, read: Iterable[str], write: Iterable[str], change: Iterable[str] = ()) -> Table:
    """A table with its rights: who may read it, add rows, and change or delete rows."""
    rights = {"read": frozenset(read), "write": frozenset(write), "change": frozenset(change)}
    return Table(name, metadata, *parts, info=rights)


def _text(name: str, **more: Any) -> Column[Any]:
    return Column(name, Text, nullable=more.pop("nullable", False), **more)


def _time(name: str, **more: Any) -> Column[Any]:
    return Column(name, Float(53), **more)


def _made() -> Column[Any]:
    return Column("created_at", Float(53), nullable=False, default=now())


def _of() -> Column[Any]:
    """The tenant."""
    return Column("cooperative_id", Text, ForeignKey("cooperatives.cooperative_id"), nullable=False)


def _key() -> Column[Any]:
    return Column("key", KEY, Identity(), primary_key=True)


# ---- tenants and their people ----

cooperatives: Final = _table(
    "cooperatives",
    _text("cooperative_id", primary_key=True),  # random; the name that files use is `code`
    _text("code", unique=True),
    _text("name"),
    _text("country", server_default=""),
    _text("crop", server_default=""),
    Column("settings", JSON, nullable=False, default=dict),  # what each cooperative is asked once
    Column("version", Integer, nullable=False, server_default="1"),
    _made(),
    _time("left_at"),
    _text("stamp", server_default=""),  # another after each write to what it owns: what is kept of it elsewhere is old
    read=OFFICE | KEEPERS | WORKER | READERS | SERVICE,
    write=KEEPERS,
    change=OFFICE | KEEPERS,
)

members: Final = _table(
    "members",
    _key(),
    _of(),
    _text("member_id"),
    _text("community", server_default=""),
    Column("declared_area_ha", Float(53)),
    Column("attributes", JSON, nullable=False, default=dict),
    Column("import_id", Text),
    Column("version", Integer, nullable=False, server_default="1"),
    _made(),
    UniqueConstraint("cooperative_id", "member_id"),
    read=OFFICE | WORKER,
    write=OFFICE,
    change=OFFICE,
)

member_people: Final = _table(  # personal data stand here and nowhere else
    "member_people",
    _of(),
    _text("member_id"),
    _text("name", server_default=""),
    _text("phone", server_default=""),
    ForeignKeyConstraint(
        ["cooperative_id", "member_id"], ["members.cooperative_id", "members.member_id"], ondelete="CASCADE"
    ),
    UniqueConstraint("cooperative_id", "member_id"),
    read=OFFICE | WORKER,
    write=OFFICE,
    change=OFFICE,
)

consents: Final = _table(
    "consents",
    _key(),
    _of(),
    _text("member_id"),
    _text("purpose"),  # mapping | analysts | buyers
    Column("given", Boolean, nullable=False),
    _text("account_id"),
    _made(),
    Index(None, "cooperative_id", "member_id"),
    read=OFFICE | {"analyst"} | WORKER,
    write=OFFICE,
    change=OFFICE,
)

# ---- what they brought ----

imports: Final = _table(
    "imports",
    _text("import_id", primary_key=True),
    _of(),
    _text("kind"),
    _text("file_name"),
    _text("sha256"),
    _text("reading_sha256"),  # of mapping, CRS and kind: the same file read otherwise is another import
    Column("bytes", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("reading", JSON, nullable=False),
    Column("counts", JSON, nullable=False),  # added, changed, unchanged, removed
    _text("account_id"),
    _made(),
    UniqueConstraint("cooperative_id", "kind", "sha256", "reading_sha256"),
    read=OFFICE | WORKER,
    write=OFFICE,
    change=OFFICE,
)

import_findings: Final = _table(
    "import_findings",
    _key(),
    _of(),
    Column("import_id", Text, ForeignKey("imports.import_id", ondelete="CASCADE"), nullable=False),
    _text("plot_id"),
    _text("code"),
    _text("severity"),
    _text("message"),
    Column("effect_ha", Float(53)),
    Column("effect_kg", Float(53)),
    _text("action"),
    Index(None, "import_id", "key"),
    read=OFFICE | WORKER,
    write=OFFICE,
    change=OFFICE,
)

plots: Final = _table(
    "plots",
    _key(),
    _of(),
    _text("plot_id"),
    Column("version", Integer, nullable=False),
    _text("member_id", server_default=""),
    _text("community", server_default=""),
    _text("crop", server_default=""),
    Column("declared_area_ha", Float(53)),
    Column("gps_accuracy_m", Float(53)),
    Column("area_ha", Float(53)),  # geodesic, of the outline as given
    Column("attributes", JSON, nullable=False, default=dict),  # all other columns as given
    Column("geometry", Wkb),
    _text("sha256"),  # of all that was given: an equal row is no new version
    Column("import_id", Text),
    _text("account_id"),
    _made(),
    _time("ended_at"),  # empty: the plot as it stands today
    UniqueConstraint("cooperative_id", "plot_id", "version"),
    Index(
        "uq_plots_current",
        "cooperative_id",
        "plot_id",
        unique=True,
        sqlite_where=Column("ended_at").is_(None),
        postgresql_where=Column("ended_at").is_(None),
    ),
    read=OFFICE | WORKER | {"analyst"},
    write=OFFICE,
    change=OFFICE,
)

plot_shares: Final = _table(
    "plot_shares",
    _key(),
    _of(),
    _text("plot_id"),
    _text("member_id"),
    Column("share", Float(53)),
    _text("season_from", server_default=""),
    _text("season_to", server_default=""),
    Column("import_id", Text),
    Index(None, "cooperative_id", "plot_id"),
    read=OFFICE | WORKER | {"analyst"},  # a plot is shown where all who share it agreed
    write=OFFICE,
    change=OFFICE,
)


def _brought(name: str) -> Table:
    """Rows of an office's list, cell by cell as given, so that a run reads what the office wrote."""
    return _table(
        name,
        _key(),
        _of(),
        Column("import_id", Text, ForeignKey("imports.import_id", ondelete="CASCADE"), nullable=False),
        Column("row", Integer, nullable=False),
        _text("member_id", server_default=""),
        _text("season", server_default=""),
        Column("kg", Float(53)),  # in the form of `form`, for lists; runs convert the cells anew
        _text("form", server_default=""),
        Column("cells", JSON, nullable=False),
        Index(None, "cooperative_id", "key"),
        UniqueConstraint("import_id", "row"),
        read=OFFICE | WORKER,
        write=OFFICE,
        change=OFFICE,
    )


deliveries: Final = _brought("deliveries")
field_estimates: Final = _brought("field_estimates")
commitments: Final = _brought("commitments")
contracts: Final = _brought("contracts")

decisions: Final = _table(
    "decisions",
    _key(),
    _of(),
    _text("plot_id"),
    _text("other_plot_id", server_default=""),
    _text("code", server_default=""),
    _text("decision"),
    _text("account_id"),
    _made(),
    UniqueConstraint("cooperative_id", "plot_id", "other_plot_id", "code"),
    read=OFFICE | WORKER,
    write=OFFICE,
    change=OFFICE,
)

# ---- what the service knows ----

rasters: Final = _table(
    "rasters",
    _text("raster_id", primary_key=True),
    _text("name"),
    _text("product"),
    _text("path"),  # on the server; in no answer
    _text("sha256"),
    Column("bytes", BigInteger, nullable=False),
    Column("bounds", JSON, nullable=False),  # west, south, east, north
    _made(),
    _time("retired_at"),
    UniqueConstraint("path", "sha256", "product"),  # a file that was changed is another raster
    read=OFFICE | KEEPERS | WORKER | {"analyst"},
    write=KEEPERS,
    change=KEEPERS,
)

# ---- runs ----

runs: Final = _table(  # a run is added with its results and never changed
    "runs",
    _text("run_id", primary_key=True),
    _of(),
    _text("job_id"),
    _text("title", server_default=""),
    _text("crop"),
    _text("form"),
    _text("season", server_default=""),
    Column("parameters", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),  # role, name, bytes, sha256 of each
    Column("versions", JSON, nullable=False),
    Column("summary", JSON, nullable=False),
    _text("inputs_sha256"),  # of plots, rasters, parameters and versions together
    _text("results_sha256"),
    _text("account_id"),
    _made(),
    UniqueConstraint("job_id"),
    Index(None, "cooperative_id", "created_at"),
    read=OFFICE | WORKER | {"analyst"},
    write=WORKER,
    change=OFFICE,  # to be erased with its cooperative
)

run_rows: Final = _table(  # the tables that `estimate` leaves; no names of people
    "run_rows",
    _of(),
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    _text("name", primary_key=True),  # members, cooperatives, months, by_community …
    Column("position", Integer, primary_key=True),
    _text("id", server_default=""),
    Column("cells", JSON, nullable=False),
    Index(None, "run_id", "name", "id"),
    read=OFFICE | WORKER | {"analyst"},
    write=WORKER,
    change=OFFICE,
)

run_plots: Final = _table(
    "run_plots",
    _of(),
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    _text("plot_id"),
    _text("member_id", server_default=""),
    Column("cells", JSON, nullable=False),
    Column("geometry", Wkb),
    Index(None, "run_id", "plot_id"),
    read=OFFICE | WORKER | {"analyst"},
    write=WORKER,
    change=OFFICE,
)

run_files: Final = _table(  # pages and documents; they may name people
    "run_files",
    _of(),
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    _text("name", primary_key=True),
    _text("media_type"),
    _text("sha256"),
    Column("content", LargeBinary, nullable=False),
    read=OFFICE | WORKER,
    write=WORKER,
    change=OFFICE,
)

jobs: Final = _table(
    "jobs",
    _text("job_id", primary_key=True),
    _of(),
    _text("kind"),
    Column("parameters", JSON, nullable=False),
    _text("inputs_sha256"),
    _text("state"),  # queued | running | done | failed | cancelled
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("fence", Integer, nullable=False, server_default="0"),  # counts claims; an old claim cannot publish
    _text("worker", server_default=""),
    _time("lease_until"),
    Column("cancel_asked", Boolean, nullable=False, default=False),
    Column("progress", JSON, nullable=False, default=dict),
    Column("error", JSON),
    Column("run_id", Text),
    _text("account_id"),
    _made(),
    _time("started_at"),
    _time("ended_at"),
    Index(None, "state", "created_at"),
    read=OFFICE | WORKER | {"operator"},
    write=OFFICE,
    change=OFFICE | WORKER | {"operator"},
)

# ---- who may see what ----

accounts: Final = _table(
    "accounts",
    _text("account_id", primary_key=True),
    _text("role"),
    Column("cooperative_id", Text, ForeignKey("cooperatives.cooperative_id")),  # of a coop_admin
    _text("label"),
    _made(),
    _time("closed_at"),
    read=SERVICE | KEEPERS,
    write=SERVICE | KEEPERS,
    change=SERVICE | KEEPERS,
)

tokens: Final = _table(
    "tokens",
    _text("public_id", primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    _text("sha256"),
    _made(),
    _time("expires_at", nullable=False),
    _time("revoked_at"),
    _time("used_at"),
    read=SERVICE | KEEPERS,
    write=SERVICE | KEEPERS,
    change=SERVICE | KEEPERS,
)

sessions: Final = _table(  # cookies, and the single-use codes that are exchanged for them
    "sessions",
    _text("sha256", primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("public_id", Text, ForeignKey("tokens.public_id")),  # the token it was begun with; it ends with that
    _text("kind"),  # code | cookie
    _made(),
    _time("expires_at", nullable=False),
    _time("ended_at"),
    read=SERVICE,
    write=SERVICE,
    change=SERVICE,
)

grants: Final = _table(
    "grants",
    _text("grant_id", primary_key=True),
    _of(),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    _text("kind"),  # releases (buyer, analyst) | plots (analyst)
    _time("starts_at", nullable=False),
    _time("ends_at"),
    _time("revoked_at"),
    _text("granted_by"),
    _made(),
    Index(None, "account_id"),
    read=OFFICE | SERVICE | READERS,
    write=OFFICE,
    change=OFFICE,
)

releases: Final = _table(
    "releases",
    _text("release_id", primary_key=True),
    _of(),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("number", Integer, nullable=False),
    _text("season", server_default=""),
    Column("content", JSON, nullable=False),  # all that a buyer sees of it
    _text("note", server_default=""),
    _text("signed_by"),
    _text("account_id"),
    _made(),
    _time("withdrawn_at"),
    UniqueConstraint("cooperative_id", "number"),
    read=OFFICE | READERS,
    write=OFFICE,
    change=OFFICE,
)

release_bases: Final = _table(  # what the next release is judged by: members and their values, never shown
    "release_bases",
    _of(),
    Column("release_id", Text, ForeignKey("releases.release_id", ondelete="CASCADE"), primary_key=True),
    Column("basis", JSON, nullable=False),
    read=OFFICE,
    write=OFFICE,
    change=OFFICE,
)

pseudonyms: Final = _table(  # what the ids that an analyst sees are made with; in no answer
    "pseudonyms",
    Column("cooperative_id", Text, ForeignKey("cooperatives.cooperative_id"), primary_key=True),
    _text("secret"),
    _made(),
    read=SERVICE,
    write=SERVICE,
    change=OFFICE,  # to be erased with its cooperative
)

audit: Final = _table(  # only ever added to
    "audit",
    _key(),
    Column("cooperative_id", Text),
    _text("account_id"),
    _text("role"),
    _text("action"),
    _text("object", server_default=""),
    _text("outcome", server_default="done"),
    _made(),
    Index(None, "cooperative_id", "key"),
    read=OFFICE | {"operator"},
    write=OFFICE | KEEPERS | WORKER | READERS | SERVICE,
)

idempotency: Final = _table(
    "idempotency",
    _text("account_id", primary_key=True),
    _text("idempotency_key", primary_key=True),
    _text("request_sha256"),
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _made(),
    read=SERVICE,
    write=SERVICE,
    change=SERVICE,
)

plot_places: Final = Table(  # R*Tree of SQLite alone: the box of each plot, a little too large; PostGIS has an index
    "plot_places",
    MetaData(),
    Column("key", Integer, primary_key=True),  # of the plot; who deletes a plot deletes its place: no trigger may
    *(Column(side, Float(24), nullable=False) for side in ("west", "east", "south", "north")),
    info={"read": OFFICE | WORKER | {"analyst"}, "write": OFFICE, "change": OFFICE},
)

TENANT_TABLES: Final = tuple(table for table in metadata.sorted_tables if "cooperative_id" in table.c)
"""Tables whose rows belong to one cooperative."""
OWN_TABLES: Final = tuple(table for table in TENANT_TABLES if not table.c["cooperative_id"].nullable)
"""Those of which every row does."""
