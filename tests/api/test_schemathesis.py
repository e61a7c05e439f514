"""What the service says of itself in /openapi.json holds for requests that nobody thought of, whoever sends them."""

import os

import pytest
import schemathesis
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from geomap.store.schema import rasters
from geomap.store.scope import ALL, Scope

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
LEFT_OUT = {
    "POST /cooperatives/{cooperative_id}/imports": "each file is read in a process of its own",
    "DELETE /cooperatives/{cooperative_id}": "what is left after it answers 404 alone; the matrix asks it",
    "DELETE /session": "asks for nothing",
}
EXAMPLES = int(os.environ.get("GEOMAP_SCHEMATHESIS_EXAMPLES", "0"))
"""Requests per operation, mode and who asks; 0: few."""
GENERATION = GenerationConfig(
    allow_extra_parameters=False,  # a parameter that no route knows changes nothing, as everywhere on the web
    with_security_parameters=False,  # who asks is decided here
    database="none",
)
CONFIG = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION)))


@pytest.fixture
def described(light_world):
    """The description of the service, and ids that are there; no run can start, because there is no raster."""
    with light_world.store.begin(Scope("operator", ALL)) as tx:
        tx.update(rasters, {"retired_at": 1.0})
    schema = schemathesis.openapi.from_asgi("/openapi.json", light_world.service.app, config=CONFIG)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 60
    assert {operation.label for operation in operations} > LEFT_OUT.keys()
    return light_world, [operation for operation in operations if operation.label not in LEFT_OUT]


def asked(client, operation, mode, *, number, ids=None, headers=None):
    """What the checks find in so many requests of one operation, and the status of each."""
    known = {name: value for name, value in (ids or {}).items() if f"{{{name}}}" in operation.path}
    found, statuses = set(), []

    @seed(1)
    @settings(max_examples=number, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=known))
    def ask(case):
        answer = case.call(session=client, headers=headers or {})
        statuses.append(answer.status_code)
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except FailureGroup as group:
            for one in group.exceptions:
                told = " ".join(str(one).split())[:300]
                sent = f"{case.path_parameters} {case.query} {case.body!r}"[:300]
                found.add(f"{operation.label}: {type(one).__name__}: {told} | {sent} -> {answer.status_code}")

    try:
        ask()
    except Unsatisfiable:  # a request without parameters and body cannot be wrong
        assert mode.is_negative and not [*operation.query, *operation.body], operation.label
    return sorted(found)[:3], statuses


@pytest.mark.parametrize("name", ["office", "analyst", "buyer", "operator", "nobody", *(["local"] if EXAMPLES else [])])
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_the_service_is_as_it_says(described, mode, name):
    world, operations = described
    headers = {"Authorization": f"Bearer {world.secrets[name]}"} if world.secrets[name] else {}
    ids = {**world.ids["a"], "public_id": "a1b2c3d4", "name": "months"}
    number = EXAMPLES or (8 if name == "office" else 3)
    wrong, served = [], 0
    with asgi.get_client(world.service.app) as client:
        for operation in operations:
            found, statuses = asked(client, operation, mode, ids=ids, headers=headers, number=number)
            wrong, served = wrong + found, served + any(status < 300 for status in statuses)
    assert wrong == [], "\n".join(wrong)
    if mode.is_positive:
        assert served >= {"office": 45, "analyst": 12, "buyer": 9, "operator": 10, "nobody": 3, "local": 45}[name]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({"number": "seven"}, "JsonSchemaError"),
        (Response(status_code=409), "UndefinedStatusCode"),
        (Response("7", media_type="text/html"), "UndefinedContentType"),
        (Response(status_code=500), "ServerError"),
        ({"number": 7}, "AcceptedNegativeData"),
    ],
)
def test_a_service_that_is_not_as_it_says_is_found(answer, failure):
    """The test above can fail."""
    app = FastAPI()

    class Number(BaseModel):
        number: int

    def seven(request: Request) -> Response:
        return JSONResponse(answer) if isinstance(answer, dict) else answer

    told = {"parameters": [{"name": "q", "in": "query", "required": True, "schema": {"type": "integer"}}]}
    app.get("/seven", response_model=Number, openapi_extra=told)(seven)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=CONFIG)
    (operation,) = [found.ok() for found in schema.get_all_operations()]
    with asgi.get_client(app) as client:
        found = [one for mode in schemathesis.GenerationMode for one in asked(client, operation, mode, number=5)[0]]
    assert any(failure in one for one in found), found
