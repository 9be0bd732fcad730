"""`Grant`: what a caller may read. It has a name and the allowed roots; without roots, all are allowed.

The grant is in the claims of the SDK's `AccessToken`, which follows the request through its context; it is never read from
anything that a client sent.
"""

from __future__ import annotations

from typing import cast

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from msgspec import Struct

__all__ = ["SCOPE", "Grant", "current_grant", "current_grant_key", "grant_key_of", "granted"]

SCOPE = "sweeplens:read"
_CLAIM = "sweeplens_roots"


class Grant(Struct, frozen=True):
    """A caller's name, and the roots (absolute folders) that it may read; no roots: all that are served."""

    name: str
    roots: tuple[str, ...] = ()


def granted(
    token: str,
    grant: Grant,
    *,
    scopes: list[str],
    subject: str = "",
    expires_at: int | None = None,
    resource: str | None = None,
) -> AccessToken:
    """Makes the SDK's token for a grant."""
    return AccessToken(
        token=token,
        client_id=grant.name,
        subject=subject or grant.name,
        scopes=scopes,
        expires_at=expires_at,
        resource=resource,
        claims={_CLAIM: list(grant.roots)},
    )


def current_grant() -> Grant | None:
    """The grant of the current request; None without authentication."""
    token = get_access_token()
    if token is None:
        return None
    roots = cast("list[str]", (token.claims or {}).get(_CLAIM, []))
    return Grant(token.client_id, tuple(roots))


def current_grant_key() -> str:
    """The grant of the current request, for its share of workers; "" without authentication."""
    token = get_access_token()
    return "" if token is None else grant_key_of(token)


def grant_key_of(token: AccessToken) -> str:
    """The holder of a token, the same for all its tokens: a client on behalf of a subject."""
    return f"{token.client_id}\n{token.subject or ''}"
