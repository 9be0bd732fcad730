"""Static bearer tokens, each with a name and optional roots.

One token per line, from the file of ``--token-file`` or from ``SWEEPLENS_TOKENS``; ``#`` starts a comment:

    alice   s3cr3t-of-at-least-16-characters
    ci      another-secret-0123456789          /experiments/public

Only digests are kept. A token is compared with every one of them in constant time.
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
from sweeplens.sources.given_roots import is_address, shown_root
from sweeplens_mcp.grants import SCOPE, Grant, granted

__all__ = ["TOKENS_VARIABLE", "StaticTokens", "load_tokens"]

TOKENS_VARIABLE = "SWEEPLENS_TOKENS"
_SHORTEST = 16


class _KnownToken(Struct, frozen=True):
    digest: bytes
    grant: Grant


class StaticTokens:
    """Verifies tokens against a fixed list. An instance never holds a token in plain text."""

    def __init__(self, known: Iterable[_KnownToken]) -> None:
        self._known = tuple(known)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Returns the access of a token; None for an unknown token."""
        digest = _digest(token)
        found: Grant | None = None
        for known in self._known:  # all of them, so that timing reveals nothing
            if hmac.compare_digest(known.digest, digest):
                found = known.grant
        return None if found is None else granted(digest.hex(), found, scopes=[SCOPE])


def load_tokens(file: str = "") -> StaticTokens | None:
    """Reads the tokens of a file or of the environment; None if there are none. Raises ConfigError with the line."""
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
            raise ConfigError(f"Token file {file!r} has no token: write lines with a name, a token and optional roots.")
        return None
    if len({k.digest for k in known}) < len(known):
        raise ConfigError(f"{place} has the same token for two names: give each name its own.")
    return StaticTokens(known)


def _root(text: str) -> str:
    """Returns an address without secrets, or an absolute path."""
    return shown_root(text) if is_address(text) else str(Path(text).expanduser().resolve())


def _parsed(line: str, place: str) -> _KnownToken:
    """Parses one line; no error message contains the token."""
    parts = shlex.split(line, comments=True, posix=os.name != "nt")
    if len(parts) < 2:
        raise ConfigError(f"{place}: a line has a name, a token, and the roots that it may read (none: all).")
    name, token, *roots = parts
    if len(token) < _SHORTEST:
        raise ConfigError(f"{place}: the token of {name!r} has fewer than {_SHORTEST} characters: use a longer one.")
    return _KnownToken(_digest(token), Grant(name, tuple(map(_root, roots))))


def _content(line: str) -> str:
    return line.split("#", 1)[0].strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
