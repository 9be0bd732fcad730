"""Says what has become of the roots while the process runs: gone, replaced by a link, or made again.

Each root is held by a descriptor from the beginning, so that another folder at its path is known as another one, whatever
its times and numbers say. A root that cannot be used is never taken for an empty one: `look` gives a sentence for each, and
raises RootError where none is left.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sweeplens.errors import RefusedFileError, RootError
from sweeplens.safe_open import OpenFolder

__all__ = ["HeldRoots"]

_SAID_SECONDS = 3600.0  # so long every answer says that a root was made again


class HeldRoots:
    """The roots of one database. ``sentences`` are those of the last look."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [_HeldRoot(str(root)) for root in roots]
        self.sentences: tuple[str, ...] = ()

    def look(self) -> tuple[str, ...]:
        """A sentence for each root that is not what it was. Raises RootError where no root can be read."""
        lost = [sentence for root in self._roots if (sentence := root.look())]
        self.sentences = (*lost, *(r.remade for r in self._roots if r.remade))
        if len(lost) == len(self._roots):
            raise RootError(" ".join(lost))
        return self.sentences


class _HeldRoot:
    """One root: the folder that it was, by a descriptor."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._let_go: Callable[[], object] = lambda: None
        self._identity: tuple[int, int] | None = None
        self._remade_at: float | None = None
        self.look()

    @property
    def remade(self) -> str:
        """The sentence about a folder that has taken this one's place not long ago; else empty."""
        if self._remade_at is None or time.time() - self._remade_at > _SAID_SECONDS:
            return ""
        at = datetime.fromtimestamp(self._remade_at, UTC).strftime("%H:%M:%S")
        return (
            f"Root {self._path!r} was removed and made again, or replaced by another folder (noticed at {at} UTC): "
            "answers show what is in it now, not what was read before."
        )

    def look(self) -> str:
        """Why the root cannot be used now; empty where it can."""
        try:
            found = OpenFolder(self._path)
        except RefusedFileError:
            return (
                f"Root {self._path!r} is a link now, or lies behind one: it is not followed, and nothing below it is read. "
                "Restart with the folder that is meant, if this was on purpose."
            )
        except FileNotFoundError:
            return f"Root {self._path!r} is gone: it was there when it was opened. Mount it or put it back; it is looked for again."
        except NotADirectoryError:
            return f"Root {self._path!r} is no folder any more: nothing below it is read."
        except OSError as error:
            return f"Root {self._path!r} cannot be read now ({error.strerror or error}): it is tried again."
        self._compare(found)
        return ""

    def _compare(self, found: OpenFolder) -> None:
        """Hold the folder that stands there now, and note where it is another one."""
        info = os.stat(self._path if found.descriptor is None else found.descriptor)  # noqa: PTH116 - a descriptor
        identity = (info.st_dev, info.st_ino)
        if identity == self._identity:
            found.close()
            return
        self._remade_at = time.time() if self._identity else None
        self._let_go()
        self._let_go, self._identity = weakref.finalize(self, found.close), identity
