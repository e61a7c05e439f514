"""Random ids: nobody guesses one from another."""

import base64
import secrets


def new_id() -> str:
    """128 random bits as 22 letters that an address can hold.

    Examples
    --------
    >>> len(new_id()), new_id() == new_id()
    (22, False)
    """
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
