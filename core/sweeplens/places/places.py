"""`Places`: the roots of one database as folders, with the mirrors of those that are other places.

    Places(given, config)   -> ``folders``: what the walk reads; ``names``: what answers show for them
    refresh(progress)       -> brings the mirrors up to date; sentences on what is missing or old

Opening does not connect to anything: the first refresh does.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeplens.errors import PlaceError
from sweeplens.places.remote import PlaceListing
from sweeplens.sources.given_roots import GivenRoot, below_root, given_root
from sweeplens.store import cache_folder
from sweeplens.store.trust import why_unsafe

if TYPE_CHECKING:
    from sweeplens.config import AnalysisConfig
    from sweeplens.places.mirror import Mirror, MirrorProgress
    from sweeplens.places.remote import Remote

__all__ = ["Places"]


class Places:
    """Roots that a user gave. Two that are the same count once."""

    def __init__(self, given: Sequence[str | Path], config: AnalysisConfig) -> None:
        roots = list({root.shown: root for root in map(given_root, given)}.values())
        self._given = tuple(roots)
        self._mirrors: dict[Path, Mirror] = {}
        self._buckets: dict[Path, GivenRoot] = {}
        folders: dict[Path, str] = {}
        for root in roots:
            folder = root.path if root.kind == "folder" else self._mirrored(root, config)
            folders[folder] = root.shown
        self.folders: tuple[Path, ...] = tuple(folders)
        self.names: tuple[str, ...] = tuple(folders.values())
        self.sentences: tuple[str, ...] = ()

    def refresh(self, progress: MirrorProgress | None = None) -> None:
        """Brings all mirrors up to date; `sentences` says what is missing. Raises PlaceError if no root can be read."""
        said: list[str] = []
        lost: list[PlaceError] = []
        for mirror in self._mirrors.values():
            try:
                said += mirror.refresh(progress)
            except PlaceError as error:
                lost.append(error)
        if lost and len(lost) == len(self.folders):
            raise PlaceError(" ".join(map(str, lost)))
        self.sentences = (*map(str, lost), *said)

    def listings(self) -> tuple[PlaceListing, ...]:
        """Returns the places that executors of a cluster can read themselves: buckets, as the last refresh listed them."""
        return tuple(
            PlaceListing(str(folder), root.address, root.shown, self._mirrors[folder].listed())
            for folder, root in self._buckets.items()
        )

    def within(self, wanted: str) -> str | None:
        """Returns the root for a folder or an address at or below one of these; None if it is below none."""
        return next((found for root in self._given if (found := below_root(wanted, root)) is not None), None)

    def _mirrored(self, root: GivenRoot, config: AnalysisConfig) -> Path:
        from sweeplens.places.mirror import Mirror

        mirror = Mirror(_remote(root), self._home(root, config), config.mirror_megabytes << 20)
        self._mirrors[mirror.folder] = mirror
        if root.kind == "objects":
            self._buckets[mirror.folder] = root
        return mirror.folder

    def _home(self, root: GivenRoot, config: AnalysisConfig) -> Path:
        """Returns the folder of a mirror: in the cache, or, where that keeps nothing or is not safe, for this process only."""
        name = hashlib.sha256(root.shown.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        home = _cache(config) / "mirrors" / name
        if config.cache == "disk" and not _why_unusable(home):
            return home
        own = Path(tempfile.mkdtemp(prefix="sweeplens-mirror-")).resolve()
        weakref.finalize(self, shutil.rmtree, own, ignore_errors=True)
        return own


def _cache(config: AnalysisConfig) -> Path:
    """Returns the cache on this machine; a folder that a file in the working directory names does not count."""
    is_own = config.cache_dir_from is None and ("://" not in config.cache_dir or config.cache_dir.startswith("file:"))
    return cache_folder(config.cache_dir if is_own else "").resolve()


def _why_unusable(home: Path) -> str:
    """Returns why a mirror cannot be in a folder; empty if it can. Creates the folder."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        return str(error)
    return why_unsafe(str(home))


def _remote(root: GivenRoot) -> Remote:
    """Returns the place of a root; its module is imported here."""
    if root.kind == "archive":
        from sweeplens.places.archive_place import ArchivePlace

        return ArchivePlace(root.path)
    if root.kind == "objects":
        from sweeplens.places.object_place import ObjectPlace

        return ObjectPlace(root.address, root.shown)
    if root.kind == "mlflow":
        from sweeplens.places.mlflow_place import MlflowPlace

        return MlflowPlace(root.address, root.shown)
    from sweeplens.places.filesystem_place import FilesystemPlace

    return FilesystemPlace(root.address, root.shown)
