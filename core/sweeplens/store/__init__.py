"""Keeps runs, series and points between calls: in memory, or in files that all processes over the same roots share."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeplens.engines.address import is_cluster
from sweeplens.extras import is_installed, not_installed
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

_FILE_URL = re.compile(r"file:(//(localhost)?/|/(?!/))")  # on this machine


def cache_folder(cache_dir: str = "") -> Path:
    """Returns the folder for stores on a disk: the configured one (a path or a ``file:`` URL), or the user's cache."""
    if _FILE_URL.match(cache_dir):
        return _folder_of(cache_dir)
    if cache_dir:
        return Path(cache_dir).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("sweeplens")


def name_for(roots: Sequence[Path], *, secrets: bool = False) -> str:
    """Returns the name of these roots' store below a cache. A store that keeps secrets has another name."""
    key_text = "\0".join([*(str(r) for r in roots), *(["with secrets"] if secrets else [])])
    return f"stores/{hashlib.sha256(key_text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def backend_for(cache: Path, roots: Sequence[Path]) -> Path:
    """Returns the folder of these roots' store below the cache folder."""
    return cache / name_for(roots)


def open_store(roots: Sequence[Path], config: AnalysisConfig) -> MemoryStore:
    """Opens the store of these roots. ``cache="memory"`` keeps nothing between processes.

    A cache folder inside a root would be read as experiments, and would change while it is read. Such a store stays in memory.
    """
    store = _new_store(roots, config)
    store.shows_secrets = config.show_secrets
    store.names_as_settings = config.names_as_settings
    store.names_files = is_cluster(config.engine)
    return store


def _new_store(roots: Sequence[Path], config: AnalysisConfig) -> MemoryStore:
    if config.cache == "memory":
        return MemoryStore()
    cache_dir, name = _trusted_cache_dir(roots, config), name_for(roots, secrets=config.show_secrets)
    if "://" in cache_dir and not _FILE_URL.match(cache_dir):
        return _remote(roots, cache_dir, name)
    backend = cache_folder(cache_dir) / name
    if any(backend.is_relative_to(root) for root in roots):
        return _in_memory(f"the cache folder {str(backend)!r} lies inside the experiments")
    return PersistentStore(LocalBackend(backend, shared=config.cache_shared), _as_text(roots))


def _trusted_cache_dir(roots: Sequence[Path], config: AnalysisConfig) -> str:
    """Returns the configured ``cache_dir``; empty where a file in the working directory names a folder outside that directory."""
    folder = config.cache_dir_from
    if folder is None or not config.cache_dir:
        return config.cache_dir
    home = folder.resolve()
    is_address = _FILE_URL.match(config.cache_dir)
    backend = (cache_folder(config.cache_dir) if is_address else folder / Path(config.cache_dir).expanduser()).resolve()
    is_remote = "://" in config.cache_dir and not is_address
    if not is_remote and all(path.is_relative_to(home) for path in (backend, *roots)):
        return str(backend)
    log.warning(
        "cache_dir %r is ignored. It comes from a file in %s, and a file can only set it for a cache and experiments below "
        "that directory. The store is in the user's cache; set the variable ANALYSIS_CACHE_DIR to move it.",
        config.cache_dir, folder,
    )  # fmt: skip
    return ""


def _remote(roots: Sequence[Path], url: str, name: str) -> MemoryStore:
    from sweeplens.store.backends.object_store import SCHEMES, ObjectBackend

    if url.partition("://")[0] not in SCHEMES:
        known = ", ".join(f"{s}://" for s in SCHEMES)
        return _in_memory(f"a store cannot be at {url!r}, only in a folder or at an address that begins with {known}")
    if not is_installed("obstore"):
        return _in_memory(not_installed("obstore"))
    return PersistentStore(ObjectBackend(f"{url.rstrip('/')}/{name}"), _as_text(roots))


def _as_text(roots: Sequence[Path]) -> list[Path]:
    """Returns the roots as text that HEAD, which is JSON, can hold."""
    return [Path(plain_text(str(root))) for root in roots]


def _in_memory(why: str) -> MemoryStore:
    store = MemoryStore()
    store.warn(f"{why}: nothing is kept, set ANALYSIS_CACHE_DIR")
    return store


def _folder_of(url: str) -> Path:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path)).absolute()
