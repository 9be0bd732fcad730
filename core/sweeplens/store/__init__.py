"""Runs, series and points between calls: in this process, or in a place for all processes over the same roots."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from sweeplens.plain_data import plain_text
from sweeplens.store.backends.local import LocalBackend
from sweeplens.store.memory import MemoryStore, StoreChange
from sweeplens.store.persistent import PersistentStore
from sweeplens.store.snapshot import Snapshot

__all__ = [
    "MemoryStore",
    "PersistentStore",
    "Snapshot",
    "StoreChange",
    "backend_for",
    "cache_folder",
    "name_for",
    "open_store",
]

_FILE = re.compile(r"file:(//(localhost)?/|/(?!/))")  # of this machine


def cache_folder(cache_dir: str = "") -> Path:
    """Where stores on a disk lie: the folder that is configured, also as a ``file:`` URL, else the user's cache."""
    if _FILE.match(cache_dir):
        return _folder_of(cache_dir)
    if cache_dir:
        return Path(cache_dir).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("sweeplens")


def name_for(roots: Sequence[Path]) -> str:
    """The name of the store of these roots below a cache."""
    said = "\0".join(str(r) for r in roots)
    return f"stores/{hashlib.sha256(said.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def backend_for(cache: Path, roots: Sequence[Path]) -> Path:
    """The folder of the store of these roots below the cache folder."""
    return cache / name_for(roots)


def open_store(roots: Sequence[Path], *, cache: str = "disk", cache_dir: str = "") -> MemoryStore:
    """The store of these roots. ``cache="memory"`` keeps nothing between processes.

    A cache folder inside a root would be read as experiments and change under the reader: such a store stays in memory.
    """
    if cache == "memory":
        return MemoryStore()
    if "://" in cache_dir and not _FILE.match(cache_dir):
        return _remote(roots, cache_dir)
    place = backend_for(cache_folder(cache_dir), roots)
    if any(place.is_relative_to(root) for root in roots):
        return _in_memory(f"the cache folder {str(place)!r} lies inside the experiments")
    return PersistentStore(LocalBackend(place), _as_text(roots))


def _remote(roots: Sequence[Path], url: str) -> MemoryStore:
    from sweeplens.store.backends.object_store import SCHEMES, ObjectBackend

    if url.partition("://")[0] not in SCHEMES:
        known = ", ".join(f"{s}://" for s in SCHEMES)
        return _in_memory(f"no store can lie at {url!r}, only in a folder or at an address that begins with {known}")
    return PersistentStore(ObjectBackend(f"{url.rstrip('/')}/{name_for(roots)}"), _as_text(roots))


def _as_text(roots: Sequence[Path]) -> list[Path]:
    """The roots as HEAD, which is JSON, can name them."""
    return [Path(plain_text(str(root))) for root in roots]


def _in_memory(why: str) -> MemoryStore:
    store = MemoryStore()
    store.warn(f"{why}: nothing is kept, set ANALYSIS_CACHE_DIR")
    return store


def _folder_of(url: str) -> Path:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path)).absolute()
