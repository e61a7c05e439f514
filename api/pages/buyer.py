"""What buyers see: the cooperatives that released something, their releases, and one release with all it answers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import OFFICE, Asked, may
from api.pages.base import PageRoute, page, shown_part
from api.pages.buyer_map import cells_map
from api.pages.buyer_release import answers, figures, verdict
from api.paths import CooperativeId, ReleaseId
from api.routes import releases as release_routes
from geomap.store.release_heads import release_heads
from geomap.store.releases import release_before, releases

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Row = dict[str, Any]
Search = Annotated[str, Query(max_length=200)]
Chosen = Annotated[str, Query(max_length=60)]
_PAGE: Final = 25
_RELEASES: Final = 20


@router.get("/buyer")
def every(
    request: Request,
    *,
    asked: Annotated[Asked, may("releases.read")],
    search: Search = "",
    country: Chosen = "",
    crop: Chosen = "",
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        heads = release_heads(tx)
    found = matching(heads, search, country, crop)
    shown = shown_part(found, first, _PAGE)
    shown["rows"] = [{**head, "figures": figures(head)} for head in shown["rows"]]
    shown |= {"search": search, "country": country, "crop": crop, **choices_of(heads)}
    return page(request, "buyer_list.html", tab="buyer", step=_PAGE, account=asked.account, **shown)


def matching(heads: Sequence[Mapping[str, Any]], search: str, country: str, crop: str) -> list[Row]:
    """The cooperatives that somebody looks for, by name."""
    wanted = search.strip().casefold()
    found = [
        dict(head)
        for head in heads
        if wanted in f"{head['cooperative']['name']} {head['cooperative']['code']}".casefold()
        and country in ("", head["country"])
        and crop in ("", head["crop"])
    ]
    return sorted(found, key=lambda head: (head["cooperative"]["name"].casefold(), head["cooperative_id"]))


def choices_of(heads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Countries and crops that can be chosen."""
    return {
        "countries": sorted({head["country"] for head in heads if head["country"]}),
        "crops": sorted({head["crop"] for head in heads if head["crop"]}),
    }


@router.get("/buyer/{cooperative_id}")
def one_cooperative(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("releases.read")],
    after: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        found = releases(tx, cooperative_id, after=after, limit=_RELEASES + 1)
    before = [
        next((one["content"] for one in found[k:] if one["withdrawn_at"] is None), None)
        for k in range(1, len(found) + 1)
    ]
    rows = [
        {**row, "figures": figures(row["content"]), "moved": _moved(old, row)}
        for row, old in zip(found, before, strict=True)
    ]
    more = found[_RELEASES - 1]["number"] if len(found) > _RELEASES else None
    shown: dict[str, Any] = {"rows": rows[:_RELEASES], "after": after, "more": more}
    return page(request, "buyer_cooperative.html", tab="buyer", owner_id=cooperative_id, **shown)


def _moved(before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> Row | None:
    """What the total of a release says beside that of the one before; None where they are not of the same thing."""
    now = row["content"]
    if before is None or any(before[name] != now[name] for name in ("crop", "form", "season")):
        return None
    old, new = figures(before), figures(now)
    if old["quantity"] != new["quantity"]:
        return None
    word = verdict(old["mean"], new["mean"], (old["low"], old["high"]), (new["low"], new["high"]))
    return {"verdict": word, "change": new["mean"] - old["mean"]}


@router.get("/buyer/{cooperative_id}/releases/{release_id}")
def one_release(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    release_id: ReleaseId,
    asked: Annotated[Asked, may("releases.read")],
    view: Literal["", "print"] = "",
) -> Response:
    told = release_routes.look(asked, cooperative_id, release_id)
    with asked.store.read(asked.scope) as tx:
        before = release_before(tx, cooperative_id, told["number"])
        last = releases(tx, cooperative_id, limit=1)
    stands = (row for row in last if row["number"] > told["number"] and row["withdrawn_at"] is None)
    newer = next((row["release_id"] for row in stands), None)
    return page(
        request,
        "buyer_release.html",
        tab="buyer",
        owner_id=cooperative_id,
        told=told,
        withdrawn_at=told.get("withdrawn_at"),
        newer=newer,
        before_id=None if before is None else before["release_id"],
        map=cells_map(told["cells"], told["country"]),
        paper=view == "print",
        by_office=asked.scope.role in OFFICE,
        **answers(told, None if before is None else before["content"]),
    )
