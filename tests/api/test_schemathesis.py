"""What the service says of itself in /openapi.json holds for requests that nobody thought of, whoever sends them."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
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


def failures_of(client, operation, mode, *, ids, headers, number):
    """What the checks find in so many requests of one operation."""
    known = {name: ids[name] for name in ids if f"{{{name}}}" in operation.path}
    found = set()

    @seed(1)
    @settings(max_examples=number, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=known))
    def ask(case):
        answer = case.call(session=client, headers=headers)
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except FailureGroup as group:
            for one in group.exceptions:
                told = " ".join(str(one).split())[:300]
                sent = f"{case.path_parameters} {case.query} {case.body!r}"[:300]
                found.add(
                    f"{operation.label} [{mode.value}]: {type(one).__name__}: {told} | {sent} -> {answer.status_code}"
                )

    try:
        ask()
    except Unsatisfiable:  # a request without parameters and body cannot be wrong
        assert mode.is_negative and "{" not in operation.path and operation.method != "put", operation.label
    return sorted(found)[:3]


@pytest.mark.parametrize("name", ["office", "analyst", "buyer", "operator", "nobody"])
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_the_service_is_as_it_says(described, mode, name):
    world, operations = described
    headers = {"Authorization": f"Bearer {world.secrets[name]}"} if world.secrets[name] else {}
    ids = {**world.ids["a"], "public_id": "a1b2c3d4", "name": "members"}
    number = EXAMPLES or (3 if name == "office" else 1)
    with asgi.get_client(world.service.app) as client:
        wrong = [
            told
            for operation in operations
            for told in failures_of(client, operation, mode, ids=ids, headers=headers, number=number)
        ]
    assert wrong == [], "\n".join(wrong)
