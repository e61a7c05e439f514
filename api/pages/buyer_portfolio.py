"""Several cooperatives together: what a buyer chose, added up, with the bad years that they share."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import StringConstraints

from api.access import Asked, may
from api.pages.base import PageRoute, page
from api.pages.buyer import Chosen, Search, choices_of, matching
from api.pages.buyer_release import cases, figures
from api.paths import RANDOM
from api.routes.releases import tell_office
from geomap.store.portfolio import portfolio
from geomap.store.release_heads import release_heads
from geomap.store.releases import release_contents

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Row = dict[str, Any]
MOST: Final = 200
"""Origins that an address can name."""
_LISTED: Final = 50
_OFTEN, _MOSTLY = 0.2, 0.5
"""Chance of a second bad year from which years come together often, and more often than not; .1 is by chance alone."""
Origin = Annotated[str, StringConstraints(pattern=RANDOM)]


@router.get("/buyer/portfolio")
def show(
    request: Request,
    *,
    asked: Annotated[Asked, may("portfolio.read")],
    origin: Annotated[list[Origin] | None, Query(max_length=MOST)] = None,
    search: Search = "",
    country: Chosen = "",
    crop: Chosen = "",
    every: bool = False,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        heads = release_heads(tx)
        named = set(origin or ())
        all_of_them = every or (not named and len(heads) <= MOST)
        chosen = [head for head in heads if all_of_them or head["cooperative_id"] in named]
        rows = release_contents(tx, [head["release_id"] for head in chosen])
    tell_office(asked, rows)
    found = matching(heads, search, country, crop)
    listed = found[:_LISTED]
    ids = {head["cooperative_id"] for head in listed}
    return page(
        request,
        "buyer_portfolio.html",
        tab="buyer_portfolio",
        groups=[_group(one, rows) for one in portfolio([row["content"] for row in rows])],
        chosen={head["cooperative_id"] for head in chosen},
        unseen=[head["cooperative_id"] for head in chosen if head["cooperative_id"] not in ids],
        listed=[{**head, "figures": figures(head)} for head in listed],
        found=len(found),
        size=len(heads),
        all_of_them=all_of_them,
        most=MOST,
        search=search,
        country=country,
        crop=crop,
        **choices_of(heads),
    )


def _group(group: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Row:
    """The sum of one crop, form and season, by origin and by cooperative; as `portfolio` adds it up."""
    own = [row for row in rows if all(row["content"][key] == group[key] for key in ("crop", "form", "season"))]
    own.sort(key=lambda row: (row["content"]["cooperative"]["name"].casefold(), row["cooperative_id"]))
    quantity = "supply" if group["together"]["supply"] is not None else "potential"
    both = group["together"][quantity]
    return {
        **group,
        "quantity": quantity,
        "both": both,
        "word": coincide(both["chance_too"]) if both else None,
        "releases": [{**row, "cases": cases(row["content"]["totals"], quantity)} for row in own],
        "origins": _origins(own, quantity),
        "untold": sum("shared" not in (row["content"].get("signed") or {}) for row in own),
        "months": [row for row in group["months"] if row["quantity"] == quantity],
        "certification": [row for row in group["certification"] if row["quantity"] == quantity],
    }


def _origins(rows: Sequence[Mapping[str, Any]], quantity: str) -> list[Row]:
    """Each country's cooperatives added up by themselves."""
    countries: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        countries.setdefault(row["content"]["country"], []).append(row["content"])
    found = []
    for country, contents in sorted(countries.items()):
        (group,) = portfolio(contents)
        found.append({"country": country, "cooperatives": len(contents), "both": group["together"][quantity]})
    return found


def coincide(chance_too: float | None) -> str | None:
    """How often bad years come together, as a word: mostly, often, seldom.

    Examples
    --------
    >>> coincide(0.62), coincide(0.3), coincide(0.1), coincide(None)
    ('mostly', 'often', 'seldom', None)
    """
    if chance_too is None:
        return None
    return "mostly" if chance_too > _MOSTLY else "often" if chance_too > _OFTEN else "seldom"
