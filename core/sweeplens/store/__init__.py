"""Runs, series and points between calls: in this process, or on disk for all processes over the same roots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweeplens.store.disk import DiskStore, place_for
from sweeplens.store.memory import Change, MemoryStore
from sweeplens.store.snapshot import Snapshot

__all__ = ["Change", "DiskStore", "MemoryStore", "Snapshot", "cache_folder", "open_store", "place_for"]


def cache_folder(cache_dir: str = "") -> Path:
    """Where stores live: the folder that is configured, else the user's cache."""
    if cache_dir:
        return Path(cache_dir).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("sweeplens")


def open_store(roots: Sequence[Path], *, cache: str = "disk", cache_dir: str = "") -> MemoryStore:
    """The store of these roots. ``cache="memory"`` keeps nothing between processes.

    A cache folder inside a root would be read as experiments and change under the reader: such a store stays in memory.
    """
    if cache == "memory":
        return MemoryStore()
    if "://" in cache_dir:
        store = MemoryStore()
        store.warn(
            f"a store must lie on a disk, {cache_dir!r} does not: nothing is kept, set ANALYSIS_CACHE_DIR to a folder"
        )
        return store
    place = place_for(cache_folder(cache_dir), roots)
    if any(place.is_relative_to(root) for root in roots):
        store = MemoryStore()
        store.warn(
            f"the cache folder {str(place)!r} lies inside the experiments: nothing is kept, set ANALYSIS_CACHE_DIR"
        )
        return store
    return DiskStore(place, roots)
