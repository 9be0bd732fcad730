"""A ledger that was read from the store. An entry is decoded when it is first used; most never are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import polars as pl

from sweeplens.readers.protocol import Source
from sweeplens.store.ledger import Key, Ledger, SourceEntry
from sweeplens.store.serialization import unpack_entry

__all__ = ["LazyLedger"]


class LazyLedger(Ledger):
    """`Ledger` over the frame of the ledger table, with the ``sources`` that were written with it."""

    def __init__(
        self, frame: pl.DataFrame, sources: Sequence[Source], total: int, young: Sequence[Sequence[str]]
    ) -> None:
        super().__init__()
        self._frame = frame
        self._rows: dict[Key, int] = dict(
            zip(zip(frame["reader"], frame["path"], strict=True), range(frame.height), strict=True)
        )
        self._sources: dict[Key, Source] = {s.key: s for s in sources}
        self._wanted_loaded = False
        self._sum = total
        self.young = {(k[0], k[1]) for k in young}
        if self._sources.keys() != self._rows.keys():
            raise ValueError("The ledger of the store and its walk do not match.")

    def __len__(self) -> int:
        return len(self._entries) + len(self._rows)

    def __iter__(self) -> Iterator[Key]:
        yield from self._entries
        yield from self._rows

    def get(self, key: Key) -> SourceEntry | None:
        """Returns the entry of a source, decoded at its first use."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._entries[key] = unpack_entry(cast("bytes", self._frame["entry"][row]))
        return self._entries.get(key)

    def source(self, key: Key) -> Source | None:
        """Returns the source as it was read, without decoding its entry."""
        return self._sources[key] if key in self._rows else super().source(key)

    def put(self, entry: SourceEntry) -> None:
        """Adds an entry, or replaces the one of the same source."""
        self._load_wanted_ids()
        super().put(entry)

    def remove(self, key: Key) -> None:
        """Removes a source."""
        self._load_wanted_ids()
        self.get(key)
        super().remove(key)

    def free_id(self, wanted: str, key: Key) -> str:
        """Returns an id that no other source has now."""
        self._load_wanted_ids()
        return super().free_id(wanted, key)

    def with_problems(self) -> list[SourceEntry]:
        """Returns the entries that have problems."""
        keys = self._frame.filter(pl.col("problems") > 0).select("reader", "path").rows()
        return [e for e in map(self.get, keys) if e is not None]

    def _load_wanted_ids(self) -> None:
        if not self._wanted_loaded:
            self._wanted_loaded = True
            for reader, path, ids in self._frame.select("reader", "path", "wanted").iter_rows():
                for run_id in ids:
                    self._wanted.setdefault(run_id, set()).add((reader, path))
