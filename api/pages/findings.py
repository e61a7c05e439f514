"""Findings, one by one: filtered, and decided by a person."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from api.access import Asked, may
from api.models import Decision, Decisions, Name, Text
from api.pages.base import AT, PageRoute, go, page, shown_part
from api.pages.bring import SEVERITIES
from api.paths import CooperativeId
from api.routes.decisions import put
from api.veil import AT_ONCE, walked
from geomap.plots.decisions import DECISIONS
from geomap.store import schema
from geomap.store.cooperatives import cooperative
from geomap.store.decisions import decisions
from geomap.store.imports import import_findings, imports
from geomap.store.runs import run_rows, runs
from geomap.store.scope import Transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Choice = Literal["", "keep", "repaired", "leave_out", "same_plot", "share_stays", "walked_again"]
_PAGE: Final = 25
_IMPORTS: Final = 200


@router.get(f"{AT}/findings")
def show(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("decisions.read")],
    severity: Literal["", "block", "warn", "note"] = "",
    community: Annotated[str, Query(max_length=1_000)] = "",
    code: Annotated[str, Query(max_length=100)] = "",
    topic: Literal["", "walk", "overlap", "area", "names"] = "",
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        every, source = latest_findings(tx, cooperative_id)
        places = _places(tx, cooperative_id)
        decided = _decided(tx, cooperative_id)
    rows = [{**places.get(row["plot_id"], {"community": "", "member_id": ""}), **row} for row in every]
    kept = [
        row
        for row in rows
        if severity in ("", row["severity"])
        and community in ("", row["community"])
        and code in ("", row["code"])
        and (not topic or row["code"] in topics()[topic])
    ]
    kept.sort(key=lambda row: SEVERITIES.index(row["severity"]))
    chosen = {"severity": severity, "community": community, "code": code, "topic": topic}
    shown = shown_part(kept, first, _PAGE)
    return page(
        request,
        "findings.html",
        cooperative=owner,
        tab="findings",
        **shown,
        topics={name: sum(row["code"] in codes for row in rows) for name, codes in topics().items()},
        others=_other_plots(shown["rows"], places),
        chosen=chosen,
        filters=urlencode({name: value for name, value in chosen.items() if value}),
        communities=sorted({row["community"] for row in rows if row["community"]}),
        codes=sorted({row["code"] for row in rows}),
        decided=decided,
        choices=DECISIONS,
        source=source,
    )


@router.post(f"{AT}/findings")
def decide(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("decisions.change")],
    plot_id: Annotated[Name, Form()],
    code: Annotated[Text, Form()],
    decision: Annotated[Choice, Form()] = "",
    other_plot_id: Annotated[Text, Form()] = "",
    before: Annotated[Text, Form()] = "",
    back: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """The word on the finding; with another other plot than before, the earlier word is taken back."""
    words = [Decision(plot_id=plot_id, code=code, other_plot_id=other_plot_id, decision=decision)]
    if before != other_plot_id:
        words.insert(0, Decision(plot_id=plot_id, code=code, other_plot_id=before, decision=""))
    put(request, cooperative_id, Decisions(decisions=words), asked)
    return go(f"/office/{cooperative_id}/findings?{back}".rstrip("?"))


@cache
def topics() -> Mapping[str, Sequence[str]]:
    """What a technician asks first → the codes of findings that answer it."""
    from geomap.outputs.kit_pages import WALK
    from geomap.plots.overlap import OVERLAP_CODES

    names = ("not_a_member", "not_a_member_then", "plot_without_member", "lookalike_name")
    return {"walk": WALK, "overlap": OVERLAP_CODES, "area": ("area_differs", "area_ratio"), "names": names}


def _other_plots(rows: Iterable[Mapping[str, Any]], places: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Message of an overlap → the other plot and its member."""
    from geomap.plots.overlap import other_plot

    found = {}
    for row in rows:
        if row["code"] in topics()["overlap"]:
            named = [plot for plot in places if plot != row["plot_id"] and plot in row["message"]]
            if other := other_plot(row["message"], row["plot_id"], named):
                found[row["message"]] = {"plot_id": other, "member_id": places[other]["member_id"]}
    return found


def latest_findings(tx: Transaction, cooperative_id: str) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Findings of the last run, which have kilograms, or of the file of plots where that is newer."""
    last = runs(tx, cooperative_id, limit=1)
    files = [row for row in imports(tx, cooperative_id, limit=_IMPORTS) if row["kind"] == "plots"]
    if last and (not files or files[0]["created_at"] < last[0]["created_at"]):
        run_id = last[0]["run_id"]
        rows = walked(
            lambda after: run_rows(tx, cooperative_id, run_id, "findings", after=after, limit=AT_ONCE), -1, "position"
        )
        return [row["cells"] for row in rows], "run"
    if not files:
        return [], ""
    import_id = files[0]["import_id"]
    found = walked(lambda after: import_findings(tx, cooperative_id, import_id, after=after, limit=AT_ONCE), 0, "key")
    return list(found), "file"


def _places(tx: Transaction, cooperative_id: str) -> dict[str, dict[str, str]]:
    """Plot → its member and community; the member's community where the plot has none."""
    plots, members = schema.plots, schema.members
    at_home = select(members.c.member_id, members.c.community).where(members.c.cooperative_id == cooperative_id)
    homes = {row["member_id"]: row["community"] for row in tx.fetch(at_home)}
    columns = (plots.c.plot_id, plots.c.member_id, plots.c.community)
    standing = select(*columns).where(plots.c.cooperative_id == cooperative_id, plots.c.ended_at.is_(None))
    return {
        row["plot_id"]: {
            "member_id": row["member_id"],
            "community": row["community"] or homes.get(row["member_id"], ""),
        }
        for row in tx.fetch(standing)
    }


def _decided(tx: Transaction, cooperative_id: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    rows = walked(lambda after: decisions(tx, cooperative_id, after=after, limit=AT_ONCE), 0, "key")
    return {(row["plot_id"], row["code"]): row for row in rows}
