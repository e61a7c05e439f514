"""Pages for people who use the service in a browser; each posts to the same functions as the API."""

from fastapi import APIRouter

from api.pages import (
    analysis,
    analysis_compare,
    bring,
    brought,
    buyer,
    buyer_portfolio,
    cooperative,
    door,
    findings,
    lists,
    map,
    members,
    operator,
    plot,
    results,
    run,
    settings,
    sharing,
)

router = APIRouter()
for _pages in (
    door,
    cooperative,
    settings,
    bring,
    brought,
    findings,
    lists,
    run,
    results,
    members,
    plot,
    map,
    sharing,
    analysis_compare,
    analysis,
    operator,
    buyer_portfolio,
    buyer,
):  # the portfolio before a cooperative of that name
    router.include_router(_pages.router)
