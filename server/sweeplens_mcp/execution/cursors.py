"""Cursors for the next page of an answer, and a cache of the answers that have more pages.

A cursor is short and opaque. It holds the row, the data version and a hash of the tool and its arguments, and nothing else.
An answer with more pages is kept in the cache, so all pages show the same data version even while the folder grows. If the
cache has dropped the answer and the data have changed since, the cursor gives an error; no row is guessed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from sweeplens.answers import Answer, LazyAnswer
from sweeplens.errors import CursorError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["AnswerCache", "CursorState", "check_row", "decode", "encode", "question", "read"]

_LONGEST = 400
_FORM = re.compile(r"(?P<row>0|[1-9][0-9]{0,11})\.(?P<question>[0-9a-f]{12})\.(?P<version>[^\x00-\x1f]{1,200})")
_CACHED_ANSWERS = 16
_CACHED_BYTES = 64 * 1024 * 1024


class CursorState(Struct, frozen=True):
    """The content of a cursor: the question's hash, the data version, and the first row of the next page."""

    question: str
    version: str
    row: int


def question(tool: str, arguments: Mapping[str, object]) -> str:
    """Returns a hash of a tool and its arguments; equal calls have equal hashes."""
    text = json.dumps([tool, arguments], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def encode(state: CursorState) -> str:
    """Encodes a state as a cursor."""
    text = f"{state.row}.{state.question}.{state.version}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, asked: str) -> CursorState:
    """Decodes a cursor. Raises CursorError if this server did not make it, or for another question."""
    state = read(cursor)
    if state is None:
        raise CursorError(
            f"{cursor[:60]!r} is not a cursor of this server: pass next_cursor exactly as it was given, or none."
        )
    if state.question != asked:
        raise CursorError("This cursor belongs to another question: repeat the arguments of the call that returned it.")
    return state


def read(cursor: str) -> CursorState | None:
    """Decodes a cursor of any question; None if this server did not make it."""
    if len(cursor) > _LONGEST:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        return None
    found = _FORM.fullmatch(text)
    return CursorState(found["question"], found["version"], int(found["row"])) if found else None


def check_row(state: CursorState, answer: Answer | LazyAnswer) -> None:
    """Raises CursorError for a row beyond the end of the answer: no answer returned such a cursor."""
    rows = answer.height if isinstance(answer, LazyAnswer) else sum(frame.height for frame in _frames(answer))
    if state.row >= rows:
        raise CursorError(
            f"This cursor points to row {state.row + 1:,} of an answer with {rows:,} rows: "
            "pass next_cursor exactly as it was given, or none."
        )


class AnswerCache:
    """The latest answers with more pages, by question and data version; bounded in number and in bytes."""

    def __init__(self, answers: int = _CACHED_ANSWERS, size: int = _CACHED_BYTES) -> None:
        self._answers: OrderedDict[tuple[str, str], Answer | LazyAnswer] = OrderedDict()
        self._most_answers, self._most_bytes = answers, size
        self._lock = threading.Lock()

    def put(self, asked: str, answer: Answer | LazyAnswer) -> None:
        """Stores an answer; the least recently used ones are dropped."""
        with self._lock:
            self._answers[asked, answer.basis.data_version] = answer
            while len(self._answers) > self._most_answers or (
                len(self._answers) > 1 and self._bytes() > self._most_bytes
            ):
                self._answers.popitem(last=False)

    def get(self, state: CursorState) -> Answer | LazyAnswer | None:
        """Returns the answer that a cursor belongs to, if it is still cached."""
        with self._lock:
            answer = self._answers.get((state.question, state.version))
            if answer is not None:
                self._answers.move_to_end((state.question, state.version))
            return answer

    def forget_lazy_answers(self) -> None:
        """Drops answers whose rows have still to be read."""
        with self._lock:
            for key in [key for key, answer in self._answers.items() if isinstance(answer, LazyAnswer)]:
                del self._answers[key]

    def _bytes(self) -> int:
        return sum(int(frame.estimated_size()) for answer in self._answers.values() for frame in _frames(answer))


def _frames(answer: Answer | LazyAnswer) -> tuple[pl.DataFrame, ...]:
    """The frames that an answer keeps in memory. The points of a `LazyAnswer` belong to the database."""
    return answer.frames if isinstance(answer, LazyAnswer) else (answer.table, *answer.tables.values())
