"""`geomap serve`, `geomap worker` and `geomap token`."""

import json

import pytest
import typer
from typer.testing import CliRunner

import api.serve
from geomap.commands import opened as opened_commands
from geomap.commands import service
from geomap.commands import service as service_commands
from geomap.errors import GeomapError
from geomap.store import Scope
from geomap.store.cooperatives import add_cooperative
from geomap.store.scope import ALL
from geomap.store.sessions import begin_session, who_is_in
from geomap.store.tokens import public_id, who

app = typer.Typer()
app.command()(service.serve)
app.command()(service.worker)
app.add_typer(service.tokens)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def cooperative(store) -> str:
    with store.begin(Scope("local", ALL)) as tx:
        return add_cooperative(tx, code="Flor del Pinar", name="Flor del Pinar")


@pytest.fixture
def url(store, cooperative) -> str:
    return store.engine.url.render_as_string(hide_password=False)


OFFICE = ("--role", "coop_admin", "--cooperative", "Flor del Pinar", "--label", "office computer")


def test_a_token_that_is_made_opens_its_cooperative_until_it_is_revoked(store, url, cooperative):
    made = CliRunner().invoke(app, ["token", "create", "--store", url, *OFFICE], catch_exceptions=False)
    secret = made.stdout.strip()
    assert who(store, secret).cooperatives == {cooperative}
    listed = run("token", "list", "--store", url)
    assert "office computer" in listed
    assert secret not in listed
    run("token", "revoke", public_id(secret), "--store", url)
    assert who(store, secret) is None
    (row,) = json.loads(run("token", "list", "--store", url, "--json"))
    assert row["revoked_at"] is not None


def test_an_account_that_is_closed_is_opened_by_none_of_its_tokens(store, url):
    made = json.loads(run("token", "create", "--store", url, "--role", "buyer", "--json"))
    other = json.loads(run("token", "create", "--store", url, "--account", made["account_id"], "--json"))
    cookie = begin_session(store, made["account_id"], seconds=100)
    assert "closed" in run("token", "close-account", made["account_id"], "--store", url)
    assert [who(store, one["token"]) for one in (made, other)] == [None, None]
    assert who_is_in(store, cookie) is None
    with pytest.raises(GeomapError, match="no such account"):
        run("token", "create", "--store", url, "--account", made["account_id"])


@pytest.mark.parametrize(("account", "told"), [("unknown", "no such account"), ("local", "cannot be closed")])
def test_an_account_that_cannot_be_closed_is_told_why(url, account, told):
    with pytest.raises(GeomapError, match=told):
        run("token", "close-account", account, "--store", url)


def test_another_token_can_be_made_for_the_same_account(store, url):
    first = json.loads(run("token", "create", "--store", url, "--role", "buyer", "--json"))
    second = json.loads(
        run("token", "create", "--store", url, "--account", first["account_id"], "--days", "1", "--json")
    )
    assert second["token"] != first["token"]
    assert who(store, second["token"]) == who(store, first["token"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "one account"),
        (("--role", "buyer", "--account", "x"), "one account"),
        (("--role", "king"), "No account has the role king"),
        (("--role", "local"), "No account has the role local"),
        (("--role", "coop_admin"), "without a cooperative"),
        (("--role", "coop_admin", "--cooperative", "Unknown"), "no such cooperative"),
        (("--account", "unknown"), "no such account"),
    ],
)
def test_a_token_that_cannot_be_is_told_why(url, options, told):
    with pytest.raises(GeomapError, match=told):
        run("token", "create", "--store", url, *options)


def test_a_token_needs_a_store_that_is_there(tmp_path):
    with pytest.raises(GeomapError, match="no store"):
        run("token", "list", "--store", f"sqlite:///{tmp_path}/none.sqlite")
    assert list(tmp_path.iterdir()) == []


# ---- what serve decides; that it serves is tried in tests/api/test_serve.py ----


@pytest.fixture
def served(monkeypatch) -> list[tuple]:
    calls: list[tuple] = []
    monkeypatch.setattr(api.serve, "serve", lambda url, **more: calls.append(("others", url, more)))
    monkeypatch.setattr(api.serve, "serve_local", lambda url, **more: calls.append(("local", url, more)))
    monkeypatch.setattr(api.serve, "work", lambda url: calls.append(("work", url)))
    monkeypatch.delenv("GEOMAP_API_STORE", raising=False)
    for module in (opened_commands, service_commands):
        monkeypatch.setattr(module, "default_store_url", lambda: "sqlite:///mine.sqlite")
    return calls


def test_without_a_store_it_serves_this_computer_alone(served):
    run("serve")
    run("serve", "--port", "8100", "--open")
    given = ({"port": None, "browser": False}, {"port": 8100, "browser": True})
    assert served == [("local", "sqlite:///mine.sqlite", more) for more in given]


def test_with_a_store_it_serves_others_on_the_address_that_is_given(served, monkeypatch):
    run("serve", "--store", "postgresql+psycopg://a@b/c", "--host", "0.0.0.0", "--port", "80", "--no-worker")
    assert served == [("others", "postgresql+psycopg://a@b/c", {"host": "0.0.0.0", "port": 80, "worker": False})]
    monkeypatch.setenv("GEOMAP_API_STORE", "sqlite:///served.sqlite")
    run("serve")
    assert served[-1] == ("others", "sqlite:///served.sqlite", {"host": "127.0.0.1", "port": 8000, "worker": True})


def test_others_are_never_served_the_store_of_this_computer(served):
    with pytest.raises(GeomapError, match="store of its own"):
        run("serve", "--host", "0.0.0.0")
    assert served == []


def test_a_worker_takes_the_store_that_it_is_given(served, monkeypatch):
    run("worker", "--store", "sqlite:///given.sqlite")
    monkeypatch.setenv("GEOMAP_API_STORE", "sqlite:///served.sqlite")
    run("worker")
    assert served == [("work", "sqlite:///given.sqlite"), ("work", "sqlite:///served.sqlite")]
