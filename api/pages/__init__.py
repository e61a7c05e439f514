"""Pages for people who use the service in a browser; each posts to the same functions as the API."""

from fastapi import APIRouter

from api.pages import (
    analysis,
    bring,
    buyer,
    buyer_portfolio,
    cooperative,
    door,
    findings,
    map,
    members,
    operator,
    plot,
    results,
    run,
    sharing,
)

router = APIRouter()
for _pages in (
    door,
    cooperative,
    bring,
    findings,
    run,
    results,
    members,
    plot,
    map,
    sharing,
    analysis,
    operator,
    buyer_portfolio,
    buyer,
):  # the portfolio before a cooperative of that name
    router.include_router(_pages.router)
