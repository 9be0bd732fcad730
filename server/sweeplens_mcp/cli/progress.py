"""One line of progress on a terminal's stderr: work done of the work known. It is erased at the end.

Nothing is written unless the stream is a terminal. The first line appears at once, before anything heavy is imported.
"""

from __future__ import annotations

import shutil
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["ProgressLine"]

_SECONDS = 0.1  # between two updates
_BAR = 20


class ProgressLine:
    """A context manager; `update` has the signature of a progress callback."""

    def __init__(self, stream: TextIO, first: str) -> None:
        self._stream = stream
        self._is_shown = stream.isatty()
        self._last = 0.0
        self._first = first

    def __enter__(self) -> Self:
        self.show(self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, text: str) -> None:
        """Shows a text in place of the line."""
        self._write(f"{text} ...")

    def update(self, done: int, total: int, item: str) -> None:
        """Shows the progress of reading, at most ten times a second."""
        now = time.monotonic()
        if not self._is_shown or (now - self._last < _SECONDS and done < total):
            return
        self._last = now
        filled = _BAR * min(done, total) // max(total, 1)
        self._write(f"reading {done:,} of {total:,} [{'#' * filled}{'.' * (_BAR - filled)}] {item}")

    def _write(self, text: str) -> None:
        if not self._is_shown:
            return
        from sweeplens_mcp.render.cells import clean

        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{clean(text)[:width]}\x1b[K")
        self._stream.flush()
