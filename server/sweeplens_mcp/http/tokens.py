"""Static bearer tokens, each with a name and optional roots.

One token a line, from the file of ``--token-file`` or from ``SWEEPLENS_TOKENS``; ``#`` begins a comment:

    alice   s3cr3t-of-at-least-16-characters
    ci      another-secret-0123456789          /experiments/public

Only digests are kept. A presented token is compared with every one of them in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from mcp.server.auth.provider import AccessToken
from msgspec import Struct

from sweeplens.errors import ConfigError
from sweeplens_mcp.grants import SCOPE, Grant, granted

__all__ = ["TOKENS_VARIABLE", "StaticTokens", "load_tokens"]

TOKENS_VARIABLE = "SWEEPLENS_TOKENS"
_SHORTEST = 16


class _KnownToken(Struct, frozen=True):
    digest: bytes
    grant: Grant


class StaticTokens:
    """Verifies tokens against a fixed list. An instance never holds a token in clear."""

    def __init__(self, known: Iterable[_KnownToken]) -> None:
        self._known = tuple(known)

    async def verify_token(self, token: str) -> AccessToken | None:
        """The access of a token, None for one that is not known."""
        digest = _digest(token)
        found: Grant | None = None
        for known in self._known:  # every one, so that time does not tell which was near
            if hmac.compare_digest(known.digest, digest):
                found = known.grant
        return None if found is None else granted(digest.hex(), found, scopes=[SCOPE])


def load_tokens(file: str = "") -> StaticTokens | None:
    """The tokens of a file, or of the environment; None where neither names any. Raises ConfigError with the line."""
    if file:
        try:
            text, place = Path(file).read_text(encoding="utf-8"), file
        except OSError as error:
            raise ConfigError(f"Token file {file!r} cannot be read: {error.strerror or error}.") from error
    else:
        text, place = os.environ.get(TOKENS_VARIABLE, ""), TOKENS_VARIABLE
    known = [_parsed(line, f"{place}:{number}") for number, line in enumerate(text.splitlines(), 1) if _content(line)]
    if not known:
        if file:
            raise ConfigError(f"Token file {file!r} names no token: write lines of a name, a token and optional roots.")
        return None
    if len({k.digest for k in known}) < len(known):
        raise ConfigError(f"{place} gives the same token to two names: make each its own.")
    return StaticTokens(known)


def _parsed(line: str, place: str) -> _KnownToken:
    """One line; its token is in no error message."""
    parts = shlex.split(line, comments=True, posix=os.name != "nt")
    if len(parts) < 2:
        raise ConfigError(f"{place}: a line is a name, a token, and the roots that it may see (none: all).")
    name, token, *roots = parts
    if len(token) < _SHORTEST:
        raise ConfigError(f"{place}: the token of {name!r} has fewer than {_SHORTEST} characters: make a longer one.")
    return _KnownToken(_digest(token), Grant(name, tuple(str(Path(r).expanduser().resolve()) for r in roots)))


def _content(line: str) -> str:
    return line.split("#", 1)[0].strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
