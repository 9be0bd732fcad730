"""Short cursors of `whats_new`: at most 40 characters, which name a state that the store keeps.

    short_cursor(long)      the cursor to hand out, and the id and the bytes of the state to keep
    full_cursor(short, kept)    the cursor of `news` again, from the kept state

A state is a few hundred bytes, and its id is a hash of them, so equal states are kept once. All processes that share a store
know all cursors. Where a state is not kept (another cache, or it was deleted), the time in the cursor remains: news is then
told by logged times.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from sweeplens.analyses.news import CHECK_BYTES, read_time, timed_cursor

__all__ = ["full_cursor", "short_cursor"]

_VERSION = 3
_STAMP_BYTES, _ID_BYTES = 6, 16
_LENGTH = 1 + _STAMP_BYTES + _ID_BYTES + CHECK_BYTES


def short_cursor(long: str) -> tuple[str, str, bytes]:
    """Returns the short cursor for a cursor of `news`, the id of its state, and the state."""
    identity = hashlib.blake2b(long.encode(), digest_size=_ID_BYTES).digest()
    body = bytes([_VERSION]) + int(read_time(long).timestamp() * 1000).to_bytes(_STAMP_BYTES) + identity
    return base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("="), identity.hex(), long.encode()


def full_cursor(cursor: str, kept: Callable[[str], bytes | None]) -> str:
    """Returns the cursor of `news` that a short one stands for; any other text is returned unchanged, for `news` to refuse.

    ``kept`` returns the state of an id, or None.
    """
    raw = _decoded(cursor)
    if len(raw) != _LENGTH or raw[0] != _VERSION or _check(raw[:-CHECK_BYTES]) != raw[-CHECK_BYTES:]:
        return cursor
    identity = raw[1 + _STAMP_BYTES : -CHECK_BYTES]
    state = kept(identity.hex())
    if state is not None and hashlib.blake2b(state, digest_size=_ID_BYTES).digest() == identity:
        return state.decode()
    try:
        at = datetime.fromtimestamp(int.from_bytes(raw[1 : 1 + _STAMP_BYTES]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a forged cursor
        return cursor
    return timed_cursor(at)


def _decoded(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return b""


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECK_BYTES).digest()
