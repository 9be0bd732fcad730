"""Checks a store's content against the roots and readers of this process before it is used.

Checksums find damage, but a person who can write to a store can write checksums too. So a file that a store names is opened
only if the walk over the roots could have named it, whatever HEAD, walk and ledger say.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import polars as pl

from sweeplens.frames.schemas import RUN_COLUMNS, SERIES_SCHEMA
from sweeplens.readers.protocol import Source
from sweeplens.sources.discover import Discovery, RememberedWalk
from sweeplens.sources.walk import WalkedFolder
from sweeplens.store.backends.backend import DamagedError
from sweeplens.store.lazy_ledger import LazyLedger
from sweeplens.store.ledger import Key, SourceEntry
from sweeplens.store.ledger_table import LEDGER_SCHEMA

__all__ = ["CheckedLedger", "check_frames", "check_walk"]


class CheckedLedger(LazyLedger):
    """`LazyLedger` that returns an entry only if it matches the source that the walk found."""

    def __init__(
        self, frame: pl.DataFrame, sources: Sequence[Source], total: int, young: Sequence[Sequence[str]]
    ) -> None:
        super().__init__(frame, sources, total, young)
        self._found = {(s.reader, s.path): s for s in sources}
        self._unseen = set(self._found)

    def get(self, key: Key) -> SourceEntry | None:
        """Returns the entry of a source. Raises DamagedError if it is not a valid entry of that source."""
        if key not in self._unseen:
            return super().get(key)
        try:
            entry = super().get(key)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            raise DamagedError(f"The store's entry of {key[1]!r} cannot be read: {error}") from error
        if entry is not None and (entry.source != self._found[key] or len(entry.ids) != len(entry.records)):
            raise DamagedError(f"The store's entry of {key[1]!r} belongs to other files.")
        self._unseen.discard(key)
        return entry


def check_walk(memory: RememberedWalk, found: Discovery, roots: Collection[str], readers: Collection[str]) -> None:
    """Raises DamagedError unless every folder and file of a remembered walk lies under one of the roots."""
    if not memory.tops.keys() <= set(roots):
        raise DamagedError("The store's walk belongs to other folders.")
    for root, top in memory.tops.items():
        if top.path != root:
            raise DamagedError("The store's walk belongs to other folders.")
        for folder in top.below_and_self():
            _check_folder(folder, root, readers)
    if any(source.root not in memory.tops for source in found.sources):
        raise DamagedError("The store's walk belongs to other folders.")


def _check_folder(folder: WalkedFolder, root: str, readers: Collection[str]) -> None:
    above = folder.parent
    is_below = above is None or (_is_name(folder.name) and folder.path == os.path.join(above.path, folder.name))  # noqa: PTH118
    if folder.root != root or not is_below or not all(map(_is_name, folder.files)):
        raise DamagedError(f"The store's walk names {folder.path!r} and files that cannot be in it.")
    if any(reader not in readers for reader, _ in folder.claims or ()):
        raise DamagedError("The store's walk names unknown readers.")


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name and os.sep not in name


def check_frames(runs: pl.DataFrame, series: pl.DataFrame, ledger: pl.DataFrame) -> None:
    """Raises DamagedError unless the small tables have the columns that this program writes."""
    fixed = {name: runs.schema.get(name) for name in RUN_COLUMNS}
    if series.schema != pl.Schema(SERIES_SCHEMA) or ledger.schema != LEDGER_SCHEMA or fixed != dict(RUN_COLUMNS):
        raise DamagedError("The store's tables have other columns.")
