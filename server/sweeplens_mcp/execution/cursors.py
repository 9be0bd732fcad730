"""Cursors: where a cut answer goes on, and the answers that are kept so that it can.

A cursor names the row, the data version and the question it belongs to; it is opaque, short and carries nothing else.
An answer that was cut is kept on the shelf, so that its later rows are of the version it began with even while the
folder grows. When the shelf has lost it and the data moved on, the cursor says so and no row is guessed.
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
_MARK = re.compile(r"(?P<row>0|[1-9][0-9]{0,11})\.(?P<question>[0-9a-f]{12})\.(?P<version>[^\x00-\x1f]{1,200})")
_SHELF_ANSWERS = 16
_SHELF_BYTES = 64 * 1024 * 1024


class CursorState(Struct, frozen=True):
    """What a cursor says: the question, the data version, and the first row that was not given yet."""

    question: str
    version: str
    row: int


def question(tool: str, arguments: Mapping[str, object]) -> str:
    """A short name for a tool with its arguments: the same question, the same name."""
    text = json.dumps([tool, arguments], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def encode(mark: CursorState) -> str:
    """The cursor for a mark."""
    text = f"{mark.row}.{mark.question}.{mark.version}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, asked: str) -> CursorState:
    """The mark of a cursor. Raises CursorError when it is not ours or belongs to another question."""
    mark = read(cursor)
    if mark is None:
        raise CursorError(
            f"{cursor[:60]!r} is not a cursor of this server: pass next_cursor exactly as it was given, or none."
        )
    if mark.question != asked:
        raise CursorError("This cursor belongs to another question: repeat the arguments of the call that gave it.")
    return mark


def read(cursor: str) -> CursorState | None:
    """The mark of a cursor, whatever question it belongs to; None when it is not ours."""
    if len(cursor) > _LONGEST:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        return None
    found = _MARK.fullmatch(text)
    return CursorState(found["question"], found["version"], int(found["row"])) if found else None


def check_row(mark: CursorState, answer: Answer | LazyAnswer) -> None:
    """Raise CursorError for a mark beyond the last row of its answer: no answer gave such a cursor."""
    rows = answer.height if isinstance(answer, LazyAnswer) else sum(frame.height for frame in _frames(answer))
    if mark.row >= rows:
        raise CursorError(
            f"This cursor goes on at row {mark.row + 1:,} of an answer with {rows:,} rows: "
            "pass next_cursor exactly as it was given, or none."
        )


class AnswerCache:
    """The last few answers that were cut, by question and data version; bounded in number and in bytes."""

    def __init__(self, answers: int = _SHELF_ANSWERS, size: int = _SHELF_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str], Answer | LazyAnswer] = OrderedDict()
        self._answers, self._size = answers, size
        self._lock = threading.Lock()

    def put(self, asked: str, answer: Answer | LazyAnswer) -> None:
        """Keep an answer; the ones asked for longest ago make room."""
        with self._lock:
            self._kept[asked, answer.basis.data_version] = answer
            while len(self._kept) > self._answers or (len(self._kept) > 1 and self._weight() > self._size):
                self._kept.popitem(last=False)

    def get(self, mark: CursorState) -> Answer | LazyAnswer | None:
        """The answer that a mark goes on with, if it is still here."""
        with self._lock:
            answer = self._kept.get((mark.question, mark.version))
            if answer is not None:
                self._kept.move_to_end((mark.question, mark.version))
            return answer

    def forget_scrolls(self) -> None:
        """Let go of what has still to be read."""
        with self._lock:
            for key in [key for key, answer in self._kept.items() if isinstance(answer, LazyAnswer)]:
                del self._kept[key]

    def _weight(self) -> int:
        return sum(int(frame.estimated_size()) for answer in self._kept.values() for frame in _frames(answer))


def _frames(answer: Answer | LazyAnswer) -> tuple[pl.DataFrame, ...]:
    """What an answer keeps in memory. A scroll's points belong to the database as well."""
    return answer.frames if isinstance(answer, LazyAnswer) else (answer.table, *answer.tables.values())
