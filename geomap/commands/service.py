"""Commands of the service: serve, worker, and the tokens that let people in."""

import importlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geomap.commands.opened import STORE_VARIABLE, StoreUrl, default_store_url, keeper, opened_store, store_url
from geomap.commands.options import AsJson
from geomap.commands.terminal import say, say_json, say_table
from geomap.errors import UnknownNameError

if TYPE_CHECKING:
    pass

tokens = typer.Typer(name="token", help="Tokens: who may come in.", no_args_is_help=True, rich_markup_mode=None)


def serve(
    store: StoreUrl = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; needs --store.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port; 8000, or any free one on this computer alone.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--open", help="Open the link in the browser; on this computer alone.")
    ] = False,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave jobs to `geomap worker`.")] = False,
) -> None:
    """Serve maps, uploads and estimates: without options on this computer alone, with --store to others."""
    service = importlib.import_module("api.serve")
    url = store or os.environ.get(STORE_VARIABLE)
    if url is None and host is not None:
        raise UnknownNameError("A service for others needs a store of its own.", todo="Give --store URL.")
    if url is None:
        service.serve_local(default_store_url(), port=port, browser=browser)
    else:
        service.serve(url, host=host or service.HERE, port=port or service.PORT, worker=not no_worker)


def worker(store: StoreUrl = None) -> None:
    """Work on the jobs of a store until told to stop; run as many as there are processors to spare."""
    importlib.import_module("api.serve").work(store_url(store))


@tokens.command("create")
def create_token(
    store: StoreUrl = None,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="coop_admin, analyst, buyer or operator.")
    ] = None,
    cooperative: Annotated[
        str | None, typer.Option("--cooperative", metavar="CODE", help="The cooperative of a coop_admin.")
    ] = None,
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="Whose it is, in your own words.")] = "",
    account: Annotated[
        str | None, typer.Option("--account", metavar="ID", help="Another token for an account that is there.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Days until it ends by itself.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a token, and the account that it opens. It is printed once and stored nowhere; only its hash is kept."""
    from geomap.store.accounts import ROLES, add_account
    from geomap.store.tokens import add_token

    if (account is None) == (role is None):
        raise UnknownNameError(
            "A token opens one account.", todo=f"Give --role ({', '.join(ROLES)}) for a new one, or --account ID."
        )
    with opened_store(store) as opened, opened.begin(keeper()) as tx:
        account_id = account or add_account(tx, role, cooperative=cooperative, label=label)  # type: ignore[arg-type]
        secret = add_token(tx, account_id, days=days)
    if as_json:
        say_json({"account_id": account_id, "token": secret})
    else:
        typer.echo(f"Account {account_id}. The token is shown this once:", err=True)
        say(secret)


@tokens.command("list")
def show_tokens(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List all tokens by their public part: role, label, when they end and when they were last used."""
    from geomap.store.tokens import list_tokens

    rows: list[dict[str, Any]] = []
    with opened_store(store) as opened, opened.read(keeper()) as tx:
        while part := list_tokens(tx, after=rows[-1]["public_id"] if rows else "", limit=1000):
            rows += part
    if as_json:
        say_json(rows)
        return
    times = ("expires_at", "revoked_at", "used_at")
    header = ["public_id", "role", "label", "account_id", *times]
    say_table(header, [[_day(row[name]) if name in times else str(row[name] or "") for name in header] for row in rows])


@tokens.command("revoke")
def revoke(
    public_id: Annotated[str, typer.Argument(metavar="PUBLIC_ID", help="The eight signs after coop_.")],
    store: StoreUrl = None,
) -> None:
    """End a token now, and the sessions of browsers that were begun with it."""
    from geomap.store.tokens import revoke_token

    with opened_store(store) as opened, opened.begin(keeper()) as tx:
        row = revoke_token(tx, public_id)
    say(f"Token {row['public_id']} of the {row['role']} account {row['account_id']} opens nothing any more.")


@tokens.command("close-account")
def close(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID", help="The account; `geomap token list` shows it.")],
    store: StoreUrl = None,
) -> None:
    """Close an account for good: none of its tokens and sessions opens anything any more."""
    from geomap.store.accounts import close_account

    with opened_store(store) as opened, opened.begin(keeper()) as tx:
        close_account(tx, account_id)
    say(f"Account {account_id} is closed: nothing opens it any more.")


def _day(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
