"""An OAuth 2.1 resource server: checks JWT access tokens of one issuer against the keys that it publishes.

A token must be signed by a key of the JWKS with an asymmetric algorithm, and have issuer, audience and expiry; clocks may differ
by a minute. Keys are cached (see jwks.py). Every token is accepted or refused; no content of a token causes an error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import jwt
from mcp.server.auth.provider import AccessToken
from msgspec import Struct

from sweeplens.panics import panics_as_errors
from sweeplens.sources.given_roots import is_address
from sweeplens_mcp.grants import Grant, granted
from sweeplens_mcp.http.jwks import FetchKeys, IssuerKeys, fetch_keys

__all__ = ["FetchKeys", "OAuthSettings", "OAuthTokens", "fetch_keys"]

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_SECONDS = 60
_PLACEHOLDER = "jwt"  # the token was checked here and is not needed later
_log = logging.getLogger(__name__)


class OAuthSettings(Struct, frozen=True):
    """``audience``: this server's URL as clients know it (RFC 8707). ``roots_claim``: the claim with the allowed roots."""

    issuer: str
    audience: str
    jwks_url: str
    scopes: tuple[str, ...] = ()
    roots_claim: str = ""


class OAuthTokens:
    """Verifies JWTs. A refused token gives None; the reason goes to the log, without the token."""

    def __init__(
        self, settings: OAuthSettings, fetch: FetchKeys = fetch_keys, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._keys = IssuerKeys(settings.issuer, partial(fetch, settings.jwks_url), clock)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Returns the access of a token; None if it is unsigned, forged, expired, not yet valid, or for another audience."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                return None
            key = await self._keys.key(str(header.get("kid", "")))
            with panics_as_errors():  # cryptography is a Rust library too
                return self._access(self._claims(token, key)) if key else None
        except Exception as error:  # noqa: BLE001  # the protocol's boundary: a client may send any token
            _log.info("bearer token refused: %s", type(error).__name__)
            return None

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        return jwt.decode(
            token,
            key=key,
            algorithms=_ALGORITHMS,
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )

    def _access(self, claims: Mapping[str, Any]) -> AccessToken | None:
        subject = str(claims.get("sub") or "")
        name = str(claims.get("client_id") or claims.get("azp") or subject or "unnamed")
        roots = self._roots(claims)
        if roots is None:
            _log.info("bearer token refused: its claim %s lists no folders", self._settings.roots_claim)
            return None
        return granted(
            _PLACEHOLDER,
            Grant(name, roots),
            subject=subject,
            scopes=_scopes(claims),
            expires_at=int(claims["exp"]) + _LEEWAY_SECONDS,
            resource=self._settings.audience,
        )

    def _roots(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The roots that a token allows, () for all; None if the required claim lists none."""
        if not self._settings.roots_claim:
            return ()
        listed = claims.get(self._settings.roots_claim)
        roots = cast("list[object]", listed) if isinstance(listed, list) else []
        named = tuple(
            root for root in roots if isinstance(root, str) and (Path(root).is_absolute() or is_address(root))
        )
        return named if named and len(named) == len(roots) else None


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """The scopes of a token: ``scope`` (RFC 9068) or ``scp`` (other issuers), each a string or a list of strings."""
    for name in ("scope", "scp"):
        held: object = claims.get(name)
        if isinstance(held, str) and held.strip():
            return held.split()
        if isinstance(held, list):
            return [scope for scope in cast("list[object]", held) if isinstance(scope, str)]
    return []
