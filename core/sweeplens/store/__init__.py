"""Runs, series and points between calls: in this process, or in a place for all processes over the same roots."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from sweeplens.config import AnalysisConfig

log = logging.getLogger("sweeplens.store")

_FILE = re.compile(r"file:(//(localhost)?/|/(?!/))")  # of this machine


def cache_folder(cache_dir: str = "") -> Path:
    """Where stores on a disk lie: the folder that is configured, also as a ``file:`` URL, else the user's cache."""
    if _FILE.match(cache_dir):
        return _folder_of(cache_dir)
    if cache_dir:
        return Path(cache_dir).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("sweeplens")


def name_for(roots: Sequence[Path], *, secrets: bool = False) -> str:
    """The name of the store of these roots below a cache; a store that keeps secrets is another one."""
    said = "\0".join([*(str(r) for r in roots), *(["with secrets"] if secrets else [])])
    return f"stores/{hashlib.sha256(said.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def backend_for(cache: Path, roots: Sequence[Path]) -> Path:
    """The folder of the store of these roots below the cache folder."""
    return cache / name_for(roots)


def open_store(roots: Sequence[Path], config: AnalysisConfig) -> MemoryStore:
    """The store of these roots. ``cache="memory"`` keeps nothing between processes.

    A cache folder inside a root would be read as experiments and change under the reader: such a store stays in memory.
    """
    store = _opened(roots, config)
    store.shows_secrets = config.show_secrets
    store.names_as_settings = config.names_as_settings
    return store


def _opened(roots: Sequence[Path], config: AnalysisConfig) -> MemoryStore:
    if config.cache == "memory":
        return MemoryStore()
    cache_dir, name = _honoured(roots, config), name_for(roots, secrets=config.show_secrets)
    if "://" in cache_dir and not _FILE.match(cache_dir):
        return _remote(roots, cache_dir, name)
    place = cache_folder(cache_dir) / name
    if any(place.is_relative_to(root) for root in roots):
        return _in_memory(f"the cache folder {str(place)!r} lies inside the experiments")
    return PersistentStore(LocalBackend(place, shared=config.cache_shared), _as_text(roots))


def _honoured(roots: Sequence[Path], config: AnalysisConfig) -> str:
    """The configured ``cache_dir``; empty where a file of the working directory names a place that is not its own to name."""
    folder = config.cache_dir_from
    if folder is None or not config.cache_dir:
        return config.cache_dir
    home = folder.resolve()
    is_address = _FILE.match(config.cache_dir)
    place = (cache_folder(config.cache_dir) if is_address else folder / Path(config.cache_dir).expanduser()).resolve()
    is_remote = "://" in config.cache_dir and not is_address
    if not is_remote and all(path.is_relative_to(home) for path in (place, *roots)):
        return str(place)
    log.warning(
        "cache_dir %r, which a file in %s names, does not count: from a file it holds only for a folder and experiments below "
        "that directory. The store lies in the user's cache; set the variable ANALYSIS_CACHE_DIR to have it elsewhere.",
        config.cache_dir, folder,
    )  # fmt: skip
    return ""


def _remote(roots: Sequence[Path], url: str, name: str) -> MemoryStore:
    from sweeplens.store.backends.object_store import SCHEMES, ObjectBackend

    if url.partition("://")[0] not in SCHEMES:
        known = ", ".join(f"{s}://" for s in SCHEMES)
        return _in_memory(f"no store can lie at {url!r}, only in a folder or at an address that begins with {known}")
    return PersistentStore(ObjectBackend(f"{url.rstrip('/')}/{name}"), _as_text(roots))


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
