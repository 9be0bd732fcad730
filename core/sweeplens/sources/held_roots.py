"""Checks the roots while the process runs: whether one is gone, was replaced by a link, or was created again.

Each root is held open by a descriptor from the start, so a new folder at the same path is recognized whatever its times
and inode. A root that cannot be used does not count as empty: `check` returns a sentence for each, and raises RootError
if none can be used.
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

_SHOW_SECONDS = 3600.0  # how long every answer says that a root was created again


class HeldRoots:
    """The roots of one database. ``sentences`` is the result of the last check."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [_HeldRoot(str(root)) for root in roots]
        self.sentences: tuple[str, ...] = ()

    def check(self) -> tuple[str, ...]:
        """Returns a sentence for each root that changed. Raises RootError if no root can be read."""
        lost = [sentence for root in self._roots if (sentence := root.check())]
        self.sentences = (*lost, *(r.remade for r in self._roots if r.remade))
        if len(lost) == len(self._roots):
            raise RootError(" ".join(lost))
        return self.sentences


class _HeldRoot:
    """One root: the original folder, held by a descriptor."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._release: Callable[[], object] = lambda: None
        self._identity: tuple[int, int] | None = None
        self._remade_at: float | None = None
        self.check()

    @property
    def remade(self) -> str:
        """Returns the sentence about a recent replacement of the folder, or an empty text."""
        if self._remade_at is None or time.time() - self._remade_at > _SHOW_SECONDS:
            return ""
        at = datetime.fromtimestamp(self._remade_at, UTC).strftime("%H:%M:%S")
        return (
            f"Root {self._path!r} was removed and created again, or replaced by another folder (noticed at {at} UTC): "
            "answers show its current content only."
        )

    def check(self) -> str:
        """Returns why the root cannot be used now; empty if it can."""
        try:
            found = _entered(self._path)
        except RefusedFileError:
            return (
                f"Root {self._path!r} is now a link, or is reached through one: it is not followed, and nothing below it is read. "
                "If the link is intended, restart with the folder that it points to."
            )
        except FileNotFoundError:
            return f"Root {self._path!r} is gone: it existed at the start. Mount or restore it; each call looks for it again."
        except NotADirectoryError:
            return f"Root {self._path!r} is no longer a folder: nothing below it is read."
        except OSError as error:
            return f"Root {self._path!r} cannot be read now ({error.strerror or error}): each call tries again."
        self._compare(found)
        return ""

    def _compare(self, found: OpenFolder) -> None:
        """Holds the folder that is at the path now, and records whether it is a different one."""
        info = os.stat(self._path if found.descriptor is None else found.descriptor)  # noqa: PTH116 - a descriptor
        identity = (info.st_dev, info.st_ino)
        if identity == self._identity:
            found.close()
            return
        self._remade_at = time.time() if self._identity else None
        self._release()
        self._release, self._identity = weakref.finalize(self, found.close), identity


def _entered(path: str) -> OpenFolder:
    """Opens a folder. Raises PermissionError also where its names may be read, but nothing below it (mode 0444)."""
    found = OpenFolder(path)
    try:
        if found.descriptor is not None:
            os.stat(".", dir_fd=found.descriptor)
    except OSError:
        found.close()
        raise
    return found
