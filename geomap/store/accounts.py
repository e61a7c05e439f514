"""Accounts: who may come in, and with which role."""

from typing import Any, Final

from sqlalchemy import and_, select

from geomap.store.errors import ConflictError, NotFoundError
from geomap.store.grants import granted
from geomap.store.ids import new_id
from geomap.store.schema import accounts, cooperatives
from geomap.store.scope import ALL, Role, Scope, Transaction
from geomap.store.types import now

ROLES: Final[tuple[Role, ...]] = ("coop_admin", "analyst", "buyer", "operator")
"""Roles that an account with a token can have."""
LOCAL: Final = "local"
"""The one account of local mode."""


def add_account(tx: Transaction, role: Role, *, cooperative: str | None = None, label: str = "") -> str:
    """Add an account; its random id.

    Parameters
    ----------
    cooperative : code of the cooperative of a coop_admin; other roles have none.
    label : whose it is, in words of the operator.

    Raises
    ------
    ConflictError : the role is none that an account can have, or it has a cooperative too many or too few.
    NotFoundError : there is no such cooperative.
    """
    if role not in ROLES:
        raise ConflictError(f"No account has the role {role}.", todo=f"Take one of {', '.join(ROLES)}.")
    if (role == "coop_admin") != (cooperative is not None):
        raise ConflictError(
            f"An account of the role {role} with{'out' if cooperative is None else ''} a cooperative cannot be.",
            todo="Name the cooperative of a coop_admin, and of nobody else.",
        )
    account_id = new_id()
    of = None if cooperative is None else _cooperative_id(tx, cooperative)
    tx.insert(accounts, {"account_id": account_id, "role": role, "cooperative_id": of, "label": label})
    return account_id


def local_account(tx: Transaction) -> str:
    """The account of whoever sits at the machine, made where it is not there yet."""
    if tx.first(select(accounts.c.account_id).where(accounts.c.account_id == LOCAL)) is None:
        tx.insert(accounts, {"account_id": LOCAL, "role": "local", "label": "this computer"})
    return LOCAL


def close_account(tx: Transaction, account_id: str) -> None:
    """Close an account for good: none of its tokens and sessions opens anything from now on.

    Raises
    ------
    NotFoundError : there is no such account. ConflictError : it is the one of local mode, which no token opens.
    """
    if account_id == LOCAL:
        raise ConflictError(
            "The account of whoever sits at the computer cannot be closed.", todo="Stop `geomap serve`."
        )
    if not tx.update(accounts, {"closed_at": now()}, accounts.c.account_id == account_id):
        raise NotFoundError("There is no such account.")


def reader_role(tx: Transaction, account_id: str) -> str:
    """`analyst` or `buyer`: the role of an account that something can be granted to.

    Raises
    ------
    NotFoundError : no such account, it is closed, or it is of no reader; all told alike.
    """
    query = select(accounts.c.role).where(
        and_(accounts.c.account_id == account_id, accounts.c.closed_at.is_(None), accounts.c.role != LOCAL)
    )
    row = tx.first(query.where(accounts.c.role.in_(("analyst", "buyer"))))
    if row is None:
        raise NotFoundError("There is no such account of an analyst or a buyer.")
    return str(row["role"])


def scope_of(tx: Transaction, account: Any) -> Scope:
    """What an account reaches today; `account` has its columns account_id, role and cooperative_id."""
    role, account_id = account["role"], account["account_id"]
    if role == "coop_admin":
        return Scope(role, frozenset({account["cooperative_id"]}), account_id)
    if role in {"operator", LOCAL}:
        return Scope(role, ALL, account_id)
    reach = granted(tx, account_id)
    plots = reach["plots"] if role == "analyst" else frozenset()
    return Scope(role, plots, account_id, released=reach["releases"])


def _cooperative_id(tx: Transaction, code: str) -> str:
    row = tx.first(select(cooperatives.c.cooperative_id).where(cooperatives.c.code == code))
    if row is None:
        raise NotFoundError("There is no such cooperative.")
    return str(row["cooperative_id"])
