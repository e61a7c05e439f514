"""Runs: an estimation is asked for, and what it left can be had in open formats."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from api.access import OFFICE, Asked, may
from api.answers import Page, listed, shown, tagged
from api.columns import RUN, Docs, Row, cut, only
from api.described import FILE, SHAPES, TABLE, THING, WAITS
from api.errors import STATUS
from api.models import NewRun
from api.paths import OF, CooperativeId, FileName, PlotId, RunId
from api.routes.jobs import job_as_shown
from api.veil import AT_ONCE, RUN_PLOT, Veil, walked
from geomap.errors import FileError, UnknownNameError
from geomap.outputs.tables import COLUMN_DOCS
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.errors import NotFoundError
from geomap.store.jobs import add_job, require_room
from geomap.store.plots import current_plots
from geomap.store.pseudonyms import pseudonym_secret
from geomap.store.rasters import rasters
from geomap.store.runs import run, run_file, run_names, run_plots, run_rows, runs
from geomap.store.schema import member_people
from geomap.store.scope import Transaction
from geomap.supply.choice import choose

router = APIRouter(tags=["runs"])
ALL = f"{OF}/runs"
ONE = f"{ALL}/{{run_id}}"
AT_ONCE_PLOTS: Final = 500
"""Plots up to which a run is done while the client waits."""
ANALYST_TABLES: Final = frozenset({"variance", "calibration", "backtest_scores"})
"""Tables of shares and scores. A sum over all members, less the plots that an analyst sees, tells of the others."""
EXPLAINED_FROM: Final = ("summary.json", "plots.parquet", "classes.csv", "findings.csv")
_PAGE_POLICY: Final = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
)
"""Pages of a run are whole in themselves; in a sandbox they reach neither cookies nor the service."""


_STATUS: Final = {kind.code: int(status) for kind, status in STATUS.items()}


# ---- to ask for one ----


@router.post(ALL, status_code=201, summary="Estimate; 202 with a job where there are many plots", responses=WAITS)
def add(
    request: Request, cooperative_id: CooperativeId, body: NewRun, asked: Annotated[Asked, may("runs.add")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        require_room(tx, cooperative_id)
        parameters = run_parameters(tx, body, cooperative(tx, cooperative_id))
        plots = len(current_plots(tx, cooperative_id, limit=AT_ONCE_PLOTS + 1))
    if not plots:
        raise FileError("The cooperative has no plots yet.", todo="Import plots first.")
    if plots <= AT_ONCE_PLOTS:
        done = request.app.state.worker.run_now(asked.scope, cooperative_id=cooperative_id, parameters=parameters)
    else:
        with asked.store.begin(asked.scope) as tx:
            done = add_job(tx, cooperative_id=cooperative_id, parameters=parameters)
    with asked.store.begin(asked.scope) as tx:
        audit.record(tx, "runs.add", cooperative_id=cooperative_id, object=done["job_id"])
    if done["state"] == "failed":
        error = done["error"]
        told = {**error, "where": None, "job_id": done["job_id"]}
        return shown(request, told, status=_STATUS.get(error["code"], 500))
    if done["state"] != "done":
        answer = shown(request, job_as_shown(asked, cooperative_id, done["job_id"]), status=202)
        answer.headers["Location"] = f"/cooperatives/{cooperative_id}/jobs/{done['job_id']}"
        return answer
    with asked.store.read(asked.scope) as tx:
        answer = shown(request, _one(tx, cooperative_id, done["run_id"]), status=201)
    answer.headers["Location"] = f"{request.url.path}/{done['run_id']}"
    return answer


def run_parameters(tx: Transaction, body: NewRun, owner: Row) -> dict[str, Any]:
    """What the job is told; everything that a reference table knows is looked up here, before anybody waits.

    Raises
    ------
    UnknownNameError, NumberError : a crop, country, form, season, product, raster or yield cannot be.
    """
    given = body.model_dump(mode="json", exclude_none=True, exclude={"product", "raster_ids"})
    place = {name: given.get(name) or owner[name] for name in ("crop", "country")}
    for name, value in place.items():
        if not value:
            raise UnknownNameError(f"The cooperative has no {name} yet.", todo=f"Send {name}, or set it for good.")
    options = {name: given.get(name) for name in ("form", "season", "base_yield_kg")}
    chosen = choose(place["crop"], place["country"], **options)
    if chosen.season is not None:
        given["season"] = chosen.season
    known = _all_rasters(tx)
    product = None if body.raster_ids else _product(body, known)
    wanted = body.raster_ids or [row["raster_id"] for row in known if row["product"] == product]
    if missing := set(wanted) - {row["raster_id"] for row in known}:
        raise UnknownNameError(f"There is no raster {min(missing)!r}.", todo="Name rasters of GET /rasters.")
    return {**given, "crop": place["crop"], "country": chosen.country, "rasters": sorted(wanted)}


def _product(body: NewRun, known: Sequence[Row]) -> str:
    products = sorted({row["product"] for row in known})
    if body.product is not None and body.product in products:
        return body.product
    if body.product is None and len(products) == 1:
        return str(products[0])
    found = "No product was named" if body.product is None else f"There is no raster of {body.product!r}"
    raise UnknownNameError(f"{found}.", todo=f"Name one of: {', '.join(products) or 'none, ask the operator'}.")


def _all_rasters(tx: Transaction) -> list[Row]:
    return list(walked(lambda after: rasters(tx, after=after, limit=AT_ONCE), "", "raster_id"))


# ---- what it left ----


@router.get(ALL, summary="Runs, the newest first", responses=TABLE)
def list_runs(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("runs.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        rows, following = cut(runs(tx, cooperative_id, after=page.after, limit=page.limit + 1), page.limit, "run_id")
    columns = {name: told for name, told in RUN.items() if name not in ("summary", "inputs", "versions")}
    if asked.scope.role not in OFFICE:
        rows, columns = [_untitled(row) for row in rows], {name: columns[name] for name in columns if name != "title"}
    return listed(request, rows, columns=columns, name="runs", next=following)


@router.get(ONE, summary="One run with its totals, assumptions, inputs and versions", responses=THING)
def read(
    request: Request, cooperative_id: CooperativeId, run_id: RunId, asked: Annotated[Asked, may("runs.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        return shown(request, _one(tx, cooperative_id, run_id))


def _one(tx: Transaction, cooperative_id: str, run_id: str) -> dict[str, Any]:
    row, names = run(tx, cooperative_id, run_id), run_names(tx, cooperative_id, run_id)
    columns = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in RUN.items()}
    if tx.scope.role in OFFICE:
        summary = {name: part for name, part in row["summary"].items() if name != "stored"}
        return {**only(row, RUN), "summary": summary, **names, "columns": columns}
    tables = {name: told for name, told in names["tables"].items() if name in ANALYST_TABLES}
    shown_of_it = {name: value for name, value in only(_untitled(row), RUN).items() if name != "inputs"}
    summary = {"assumptions": row["summary"]["assumptions"]}
    return {**shown_of_it, "summary": summary, "tables": tables, "files": {}, "columns": columns}


def _untitled(row: Row) -> Row:
    """A run without what the office calls it: that may name anybody."""
    asked = {name: value for name, value in row["parameters"].items() if name != "title"}
    return {**{name: value for name, value in row.items() if name != "title"}, "parameters": asked}


@router.get(f"{ONE}/tables/{{name}}", summary="Rows of one table of the run, with units and meanings", responses=TABLE)
def read_table(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    name: FileName,
    page: Page,
    asked: Annotated[Asked, may("runs.read")],
) -> Response:
    is_office = asked.scope.role in OFFICE
    if not is_office and name not in ANALYST_TABLES:
        name = ""  # no run has such a table
    with (asked.store.begin if name == "members" else asked.store.read)(asked.scope) as tx:
        found = run_rows(tx, cooperative_id, run_id, name, after=page.number(-1), limit=page.limit + 1)
        kept, following = cut(found, page.limit, "position")
        rows: Sequence[Row] = [row["cells"] for row in kept]
        columns = _columns(name, run_names(tx, cooperative_id, run_id)["tables"][name]["columns"])
        if name == "members":
            rows = _with_names(tx, cooperative_id, rows)
            columns = {**columns, "name": COLUMN_DOCS["members.csv"]["name"]}
            audit.record(tx, "members.read", cooperative_id=cooperative_id, object=run_id)
    return listed(request, rows, columns=columns, name=name, next=following)


def _columns(table: str, names: Sequence[str]) -> Docs:
    """Unit and meaning of each column of a run's table; none for what the office itself sums by."""
    docs = COLUMN_DOCS.get(f"{table}.csv") or (COLUMN_DOCS["by_<column>.csv"] if table.startswith("by_") else {})
    return {name: docs.get(name, ("", "")) for name in names}


def _with_names(tx: Transaction, cooperative_id: str, rows: Sequence[Row]) -> list[Row]:
    """Rows of members with the names of today: a name that was erased is in no run any more."""
    names: dict[str, str] = {}
    for start in range(0, len(rows), AT_ONCE_PLOTS):
        ids = [row["id"] for row in rows[start : start + AT_ONCE_PLOTS]]
        people = select(member_people.c.member_id, member_people.c.name)
        people = people.where(member_people.c.cooperative_id == cooperative_id, member_people.c.member_id.in_(ids))
        names |= {row["member_id"]: row["name"] for row in tx.fetch(people)}
    return [{**row, "name": names.get(row["id"], "")} for row in rows]


@router.get(f"{ONE}/plots", summary="Plots of the run with potential, supply and their factors", responses=SHAPES)
def list_plots(
    request: Request,
    cooperative_id: CooperativeId,
    run_id: RunId,
    page: Page,
    asked: Annotated[Asked, may("runs.read")],
) -> Response:
    if asked.scope.role not in OFFICE:
        secret = pseudonym_secret(asked.store, cooperative_id)
        with asked.store.begin(asked.scope) as tx:
            run(tx, cooperative_id, run_id)
            audit.record(tx, "plots.read", cooperative_id=cooperative_id, object=run_id)
        with asked.store.read(asked.scope) as tx:  # long; writers need not wait for it
            veil = Veil.of(tx, cooperative_id, secret)
            every = walked(
                lambda after: run_plots(tx, cooperative_id, run_id, after=after, limit=AT_ONCE), -1, "position"
            )
            rows, following = veil.page(every, veil.run_plot, after=page.after, limit=page.limit)
        return listed(request, rows, columns=RUN_PLOT, name="plots", next=following, default="geojson")
    with asked.store.read(asked.scope) as tx:
        by = run(tx, cooperative_id, run_id)["parameters"].get("by") or []
        found = run_plots(tx, cooperative_id, run_id, after=page.number(-1), limit=page.limit + 1)
    kept, following = cut(found, page.limit, "position")
    rows = [{**row["cells"], **{name: row[name] for name in ("plot_id", "member_id", "geometry")}} for row in kept]
    docs = {name: told for name, told in COLUMN_DOCS["plots.parquet"].items() if name != "bbox"}
    columns = {**docs, **{name: ("", "A column that the run sums by") for name in by if name not in docs}}
    return listed(request, rows, columns=columns, name="plots", next=following, default="geojson")


@router.get(f"{ONE}/plots/{{plot_id:own}}", summary="How the potential of one plot came about", responses=THING)
def explain(
    request: Request,
    cooperative_id: CooperativeId,
    run_id: RunId,
    plot_id: PlotId,
    asked: Annotated[Asked, may("runs.files")],
) -> Response:
    from geomap.outputs.explain import explained

    with asked.store.begin(asked.scope) as tx:
        if not run_plots(tx, cooperative_id, run_id, ids=[plot_id]):
            raise NotFoundError("The run has no such plot.")
        files = [run_file(tx, cooperative_id, run_id, name) for name in EXPLAINED_FROM]
        audit.record(tx, "runs.files", cooperative_id=cooperative_id, object=run_id)
    with _as_folder(files, Path(request.app.state.settings.work_dir)) as folder:
        return shown(request, explained(folder, plot_id))


@contextmanager
def _as_folder(files: Sequence[Mapping[str, Any]], work_dir: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="geomap-explain-", dir=work_dir) as folder:
        for file in files:
            (Path(folder) / file["name"]).write_bytes(file["content"])
        yield Path(folder)


@router.get(f"{ONE}/files/{{name}}", summary="A page, document or file of the run", responses=FILE)
def read_file(
    request: Request,
    cooperative_id: CooperativeId,
    run_id: RunId,
    name: FileName,
    asked: Annotated[Asked, may("runs.files")],
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        file = run_file(tx, cooperative_id, run_id, name)
        audit.record(tx, "runs.files", cooperative_id=cooperative_id, object=run_id)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if file["media_type"].startswith("text/html"):
        headers["Content-Security-Policy"] = _PAGE_POLICY
    else:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return tagged(request, bytes(file["content"]), media_type=file["media_type"], headers=headers)
