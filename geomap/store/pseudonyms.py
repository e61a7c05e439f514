"""What an analyst sees of plots: those of members who agreed, under ids that lead back to nobody."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from geomap.store.database import Store
from geomap.store.errors import NotFoundError
from geomap.store.schema import consents, plot_shares, plots, pseudonyms
from geomap.store.scope import SERVICE, Transaction

ANALYSTS: Final = "analysts"
_BYTES: Final = 16


def pseudonym(secret: str, kind: str, own_id: str) -> str:
    """The id that stands for `own_id`: the same for the same cooperative, and no way back without its secret.

    Parameters
    ----------
    kind : `plot` or `member`; a plot and a member of one id get different ones.

    Examples
    --------
    >>> pseudonym("s", "plot", "P1") == pseudonym("s", "plot", "P1") != pseudonym("s", "member", "P1")
    True

    Source: HMAC-SHA-256 (RFC 2104), its first 128 bits.
    """
    digest = hmac.digest(secret.encode(), f"{kind}\0{own_id}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:_BYTES]).rstrip(b"=").decode()


def pseudonym_secret(store: Store, cooperative_id: str) -> str:
    """The secret of a cooperative's pseudonyms; made when it is first needed, and the same from then on.

    Call it outside any other transaction: it may have to write.

    Raises
    ------
    NotFoundError : there is no such cooperative.
    """
    with store.read(SERVICE) as tx:
        secret = _secret(tx, cooperative_id)
    if secret is None:
        try:
            with store.begin(SERVICE) as tx:
                tx.insert(pseudonyms, {"cooperative_id": cooperative_id, "secret": secrets.token_urlsafe(32)})
        except IntegrityError:
            pass  # somebody else was quicker; theirs counts
        with store.read(SERVICE) as tx:
            secret = _secret(tx, cooperative_id)
    if secret is None:
        raise NotFoundError("There is no such cooperative.")
    return secret


def _secret(tx: Transaction, cooperative_id: str) -> str | None:
    row = tx.first(select(pseudonyms.c.secret).where(pseudonyms.c.cooperative_id == cooperative_id))
    return None if row is None else str(row["secret"])


def who_agreed(tx: Transaction, cooperative_id: str, purpose: str = ANALYSTS) -> frozenset[str]:
    """Ids of the members whose last word on the purpose is yes. Who was never asked has not agreed."""
    rows = tx.fetch(
        select(consents.c.member_id, consents.c.given)
        .where(consents.c.cooperative_id == cooperative_id, consents.c.purpose == purpose)
        .order_by(consents.c.key)
    )
    last = {row["member_id"]: row["given"] for row in rows}
    return frozenset(member for member, given in last.items() if given)


def shared_with_others(tx: Transaction, cooperative_id: str, agreed: Collection[str]) -> frozenset[str]:
    """Ids of the plots in which a member who has not agreed has a share.

    A plot whose id another row of its file carried too has an id of its own; its shares stand under the id as given.
    """
    rows = tx.fetch(
        select(plot_shares.c.plot_id, plot_shares.c.member_id).where(plot_shares.c.cooperative_id == cooperative_id)
    )
    shared = frozenset(row["plot_id"] for row in rows if row["member_id"] not in agreed)
    given = plots.c.attributes["given_id"].as_string().label("given_id")
    copies = select(plots.c.plot_id, given).where(plots.c.cooperative_id == cooperative_id, given.is_not(None))
    return shared | {row["plot_id"] for row in tx.fetch(copies) if row["given_id"] in shared}
