"""Looks up files that no reader accepts, as the walk found them: by name, without access to the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath

from sweeplens.readers.protocol import FileStat
from sweeplens.sources.walk import WalkedFolder

__all__ = ["file_at", "files_named"]


def files_named(
    paths: Iterable[str], wanted: Callable[[str], bool], tops: Mapping[str, WalkedFolder]
) -> list[tuple[str, FileStat]]:
    """Returns path below the root, and file, of those paths whose last part is wanted. ``tops``: the folders of the roots."""
    named = (p for p in paths if wanted(p.replace("\\", "/").rpartition("/")[2]))
    return [found for path in named if (found := file_at(path, tops))]


def file_at(path: str, tops: Mapping[str, WalkedFolder]) -> tuple[str, FileStat] | None:
    """Returns a file, and its path below the root with ``/``; None if the walk did not find it."""
    for root, top in tops.items():
        above_root = root.rstrip("/\\")
        if not path.startswith((f"{above_root}/", f"{above_root}\\")):
            continue
        *above, name = parts = PurePath(path[len(above_root) :].strip("/\\")).parts
        folder: WalkedFolder | None = top
        for part in above:
            folder = folder.folders.get(part) if folder else None
        if folder and name in folder.files:
            return "/".join(parts), folder.files[name]
    return None
