"""An OAuth 2.1 resource server: JWT access tokens of one issuer, checked against the keys that it publishes.

A token must be signed by a key of the JWKS with an asymmetric algorithm, and name issuer, audience and an expiry; time may
differ by a minute. Keys are cached and fetched anew when they are old, or when a token names one that is not known (rotation),
but not more than once in ten seconds, so that forged key ids cannot make this server hammer its issuer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import anyio
import jwt
from mcp.server.auth.provider import AccessToken
from msgspec import Struct

from sweeplens_mcp.grants import Grant, granted

__all__ = ["FetchKeys", "OAuthSettings", "OAuthTokens", "fetch_keys"]

FetchKeys = Callable[[str], Awaitable[Mapping[str, Any]]]
"""The JSON of a JWKS by its URL."""

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_SECONDS = 60
_KEYS_SECONDS = 600.0
_REFETCH_SECONDS = 10.0
_STAND_IN = "jwt"  # the signature is checked here: nobody further on needs the token itself
_log = logging.getLogger(__name__)


class OAuthSettings(Struct, frozen=True):
    """``audience`` is this server's URL as clients name it (RFC 8707). ``roots_claim``: a claim that lists roots to see."""

    issuer: str
    audience: str
    jwks_url: str
    scopes: tuple[str, ...] = ()
    roots_claim: str = ""


async def fetch_keys(url: str) -> Mapping[str, Any]:
    """Fetch a JWKS over HTTP. Raises httpx2.HTTPError, ValueError."""
    import httpx2

    async with httpx2.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        answer = await client.get(url, headers={"Accept": "application/json"})
        answer.raise_for_status()
        return cast("Mapping[str, Any]", answer.json())


class OAuthTokens:
    """Verifies JWTs. Every refusal is None: the reason goes to the log, without the token."""

    def __init__(
        self, settings: OAuthSettings, fetch: FetchKeys = fetch_keys, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._lock = anyio.Lock()

    async def verify_token(self, token: str) -> AccessToken | None:
        """The access of a token; None for one that is unsigned, forged, expired, early, or meant for somebody else."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")), str(header.get("alg", "")))
            claims = self._claims(token, key) if key else None
        except (jwt.PyJWTError, OSError, ValueError) as error:
            _log.info("bearer token refused: %s", type(error).__name__)
            return None
        return None if claims is None else self._access(claims)

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
            _log.info("bearer token refused: it lacks the claim %s", self._settings.roots_claim)
            return None
        scopes = str(claims.get("scope", "")).split() or [str(s) for s in cast("list[object]", claims.get("scp") or [])]
        return granted(
            _STAND_IN,
            Grant(name, roots),
            subject=subject,
            scopes=scopes,
            expires_at=int(claims["exp"]) + _LEEWAY_SECONDS,
            resource=self._settings.audience,
        )

    def _roots(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The roots that a token is limited to, () for all; None where the claim that must list them does not."""
        if not self._settings.roots_claim:
            return ()
        listed = claims.get(self._settings.roots_claim)
        return tuple(str(r) for r in cast("list[object]", listed)) if isinstance(listed, list) and listed else None

    async def _key(self, kid: str, algorithm: str) -> jwt.PyJWK | None:
        if algorithm not in _ALGORITHMS:
            return None
        async with self._lock:
            age = self._clock() - self._fetched
            if age > _KEYS_SECONDS or (kid not in self._keys and age > _REFETCH_SECONDS):
                await self._renew()
        return self._keys.get(kid) or (next(iter(self._keys.values())) if not kid and len(self._keys) == 1 else None)

    async def _renew(self) -> None:
        """Fetch the keys; when the issuer cannot be reached the old ones stay good."""
        import httpx2

        self._fetched = self._clock()
        try:
            listed = cast("list[dict[str, Any]]", (await self._fetch(self._settings.jwks_url)).get("keys", []))
        except (httpx2.HTTPError, OSError, ValueError) as error:
            _log.warning("keys of %s cannot be fetched: %s", self._settings.issuer, error)
            return
        self._keys = {
            str(k.get("kid", "")): jwt.PyJWK.from_dict(k)
            for k in listed
            if k.get("use", "sig") == "sig" and k.get("kty") != "oct"
        }
