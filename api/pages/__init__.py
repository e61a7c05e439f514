"""Pages for people who use the service in a browser; each posts to the same functions as the API."""

from fastapi import APIRouter

from api.pages import bring, cooperative, door, findings, members, results, run, sharing

router = APIRouter()
for _pages in (door, cooperative, bring, findings, run, results, members, sharing):
    router.include_router(_pages.router)
