"""Caches the keys that an issuer publishes. They are fetched again when they are old, or for an unknown key id.

They are fetched at most every ten seconds, so that forged key ids cannot flood the issuer, and by a separate task, so that a
token with a known key never waits for the issuer. If the issuer cannot be reached or its key set is invalid, the old keys stay
in use. Keys of an unknown type are skipped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import jwt

from sweeplens.panics import panics_as_errors

__all__ = ["FetchKeys", "IssuerKeys", "fetch_keys"]

FetchKeys = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Fetches the JSON of a JWKS from its URL."""

_KEYS_SECONDS = 600.0
_REFETCH_SECONDS = 10.0
_FETCH_SECONDS = 5.0
_LARGEST = 1 << 20
_log = logging.getLogger(__name__)


async def fetch_keys(url: str) -> Mapping[str, Any]:
    """Fetches a JWKS over HTTP. Raises httpx2.HTTPError, ValueError."""
    import httpx2

    async with (
        httpx2.AsyncClient(timeout=_FETCH_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
    ):
        answer.raise_for_status()
        text = bytearray()
        async for part in answer.aiter_bytes():
            text += part
            if len(text) > _LARGEST:
                raise ValueError(f"the key set is larger than {_LARGEST} bytes")
    return cast("Mapping[str, Any]", json.loads(text))


class IssuerKeys:
    """The keys of one issuer, by key id."""

    def __init__(
        self, issuer: str, fetch: Callable[[], Awaitable[Mapping[str, Any]]], clock: Callable[[], float]
    ) -> None:
        self._issuer, self._fetch, self._clock = issuer, fetch, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._renewal: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """Returns the key of an id, or without an id the only key. Waits for the issuer only if the key is unknown."""
        known = self._known(kid)
        age = self._clock() - self._fetched
        if self._renewal is None and age > (_KEYS_SECONDS if known else _REFETCH_SECONDS):
            self._fetched = self._clock()
            self._renewal = asyncio.get_running_loop().create_task(self._renew(), name="sweeplens-keys")
        if known is None and self._renewal is not None:
            await asyncio.shield(self._renewal)
        return known or self._known(kid)

    def _known(self, kid: str) -> jwt.PyJWK | None:
        if kid or len(self._keys) != 1:
            return self._keys.get(kid)
        return next(iter(self._keys.values()))

    async def _renew(self) -> None:
        """Fetches the keys. If that fails for any reason, the old keys are kept."""
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                fetched = await self._fetch()
            self._keys = _parsed(fetched)
        except Exception as error:  # noqa: BLE001  # the protocol's boundary: the issuer may send anything
            _log.warning("keys of %s cannot be used: %s: %s", self._issuer, type(error).__name__, error)
        finally:
            self._renewal = None


def _parsed(given: object) -> dict[str, jwt.PyJWK]:
    """Returns the asymmetric signing keys of a set. Raises ValueError if it is no key set."""
    listed = cast("Mapping[str, object]", given).get("keys") if isinstance(given, Mapping) else None
    if not isinstance(listed, list):
        raise ValueError("the key set has no list of keys")
    found: dict[str, jwt.PyJWK] = {}
    for position, entry in enumerate(cast("list[object]", listed)):
        if not isinstance(entry, dict):
            _log.warning("key %d of the set is no object: it is skipped", position)
            continue
        key = cast("dict[str, Any]", entry)
        if key.get("use", "sig") != "sig" or key.get("kty") == "oct":
            continue
        try:
            with panics_as_errors():  # cryptography is a Rust library too
                found[str(key.get("kid", ""))] = jwt.PyJWK.from_dict(key)
        except Exception as error:  # noqa: BLE001  # the protocol's boundary: one invalid key must not disable the others
            _log.warning("key %d of the set is skipped: %s", position, type(error).__name__)
    if not found and listed:
        raise ValueError("no key of the set can be used")
    return found
