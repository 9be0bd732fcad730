"""What a request may see. A grant names its holder and the roots that are open to it; without roots all of them are.

The grant travels in the claims of the SDK's `AccessToken`, so that it follows the request through its context and is never
taken from anything that a client sent.
"""

from __future__ import annotations

from typing import cast

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from msgspec import Struct

__all__ = ["SCOPE", "Grant", "current_grant", "current_tenant", "granted", "tenant_of"]

SCOPE = "sweeplens:read"
_CLAIM = "sweeplens_roots"


class Grant(Struct, frozen=True):
    """Who asks, and which roots (absolute folders) they may see; no roots: all that are served."""

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
    """The SDK's token for a grant."""
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
    """The grant of the request that is being served; None where nobody had to say who they are."""
    token = get_access_token()
    if token is None:
        return None
    roots = cast("list[str]", (token.claims or {}).get(_CLAIM, []))
    return Grant(token.client_id, tuple(roots))


def current_tenant() -> str:
    """Whose share of workers the request that is being served uses; "" where nobody had to say who they are."""
    token = get_access_token()
    return "" if token is None else tenant_of(token)


def tenant_of(token: AccessToken) -> str:
    """Whose token it is, however many they have: a client on behalf of a subject."""
    return f"{token.client_id}\n{token.subject or ''}"
