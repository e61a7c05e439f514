"""An estimation: what is asked for, and how far it is."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import ValidationError

from api.access import Asked, may
from api.models import NewRun
from api.pages.base import AT, PageRoute, go, page
from api.pages.cooperative import crop_names
from api.pages.texts import language_of
from api.paths import CooperativeId, JobId
from api.routes.jobs import ENDED, cancel, job_as_shown
from api.routes.runs import run_parameters
from api.veil import AT_ONCE, walked
from geomap.errors import FileError, GeomapError
from geomap.outputs.words import LANGUAGES
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.jobs import add_job, jobs, require_room
from geomap.store.plots import current_plots
from geomap.store.rasters import rasters
from geomap.supply.crops import country_code, country_name

router = APIRouter(route_class=PageRoute, include_in_schema=False)
SUMMED_BY: Final = ("community", "certification")
_FIELDS: Final = ("crop", "country", "product", "season", "title")


@router.get(f"{AT}/run")
def ask(request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("runs.add")]) -> Response:
    return _form(request, asked, cooperative_id)


def _form(
    request: Request,
    asked: Asked,
    cooperative_id: str,
    *,
    error: GeomapError | None = None,
    given: dict[str, str] | None = None,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        known = list(walked(lambda after: rasters(tx, after=after, limit=AT_ONCE), "", "raster_id"))
        has_plots = bool(current_plots(tx, cooperative_id, limit=1))
        earlier = jobs(tx, cooperative_id, limit=5)
    given = given or {"crop": owner["crop"], "country": owner["country"], "season": "", "product": "", "title": ""}
    return page(
        request,
        "run.html",
        status=200 if error is None else 422,
        cooperative=owner,
        tab="run",
        crops=crop_names(),
        products=sorted({row["product"] for row in known}),
        country=country_name(given["country"]) if given["country"] == owner["country"] != "" else given["country"],
        has_plots=has_plots,
        earlier=earlier,
        given=given,
        error=error,
    )


@router.post(f"{AT}/run")
def start(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("runs.add")],
    crop: Annotated[str, Form(max_length=60)] = "",
    country: Annotated[str, Form(max_length=60)] = "",
    product: Annotated[str, Form(max_length=200)] = "",
    season: Annotated[str, Form(max_length=10)] = "",
    title: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    given = dict(zip(_FIELDS, (crop, country, product, season.strip(), title), strict=True))
    try:
        job = _add(asked, cooperative_id, _body(given, language_of(request)))
    except GeomapError as error:
        return _form(request, asked, cooperative_id, error=error, given=given)
    return go(f"/office/{cooperative_id}/jobs/{job['job_id']}")


def _body(given: dict[str, str], language: str) -> NewRun:
    told: dict[str, Any] = {name: value for name, value in given.items() if value}
    if country := told.get("country"):
        told["country"] = country_code(country)
    told["language"] = language if language in LANGUAGES else "en"
    try:
        return NewRun(**told, by=list(SUMMED_BY))
    except ValidationError as error:
        place = str(error.errors()[0]["loc"][0])
        raise FileError(
            f"{given.get(place, '')!r} cannot be read as {place}.", todo="Write a season as 2026/27."
        ) from None


def _add(asked: Asked, cooperative_id: str, body: NewRun) -> dict[str, Any]:
    with asked.store.begin(asked.scope) as tx:
        parameters = run_parameters(tx, body, cooperative(tx, cooperative_id))
        if not current_plots(tx, cooperative_id, limit=1):
            raise FileError("The cooperative has no plots yet.", todo="Bring a file of plots first.")
        require_room(tx, cooperative_id)
        job = add_job(tx, cooperative_id=cooperative_id, parameters=parameters)
        audit.record(tx, "runs.add", cooperative_id=cooperative_id, object=job["job_id"])
    return job


@router.get(f"{AT}/jobs/{{job_id}}")
def follow(
    request: Request, cooperative_id: CooperativeId, job_id: JobId, asked: Annotated[Asked, may("jobs.read")]
) -> Response:
    job = job_as_shown(asked, cooperative_id, job_id)
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
    return page(request, "job.html", cooperative=owner, tab="run", job=job, ended=job["state"] in ENDED)


@router.post(f"{AT}/jobs/{{job_id}}/cancel")
def stop(
    request: Request, cooperative_id: CooperativeId, job_id: JobId, asked: Annotated[Asked, may("jobs.cancel")]
) -> Response:
    cancel(request, cooperative_id, job_id, asked)
    return go(f"/office/{cooperative_id}/jobs/{job_id}")
