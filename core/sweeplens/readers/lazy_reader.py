"""`LazyReader`: one of our own readers by name and version; its module is imported when there may be something for it.

A start over a store that is up to date asks no reader anything, and need not wait for thirty of them to be imported; and most
folders are of a kind that most readers can leave by the names alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from importlib import import_module

from sweeplens.readers.protocol import Claim, Folder, Reader, Reading, Resume, Source

__all__ = ["LazyReader", "ReaderIndex", "loaded_reader"]

_MOST_NAMES = 1000  # folders of different names that are remembered


class LazyReader:
    """The `Reader` that ``module`` of this package has under the name ``noun``.

    ``seeks``: in a folder without folders it claims nothing unless the name of a file has one of these parts (`ReaderIndex`).
    """

    def __init__(self, name: str, module: str, noun: str, version: int, *seeks: str) -> None:
        self.name = name
        self.version = version
        self._module = module
        self._noun = noun
        self._seeks = seeks

    @cached_property
    def reader(self) -> Reader:
        """The reader itself."""
        found: Reader = getattr(import_module(f"sweeplens.readers.{self._module}"), self._noun)()
        assert (found.name, found.version) == (self.name, self.version), f"READERS and {self._noun} disagree"
        return found

    def may_claim(self, names: str) -> bool:
        """Whether there may be something for it in a folder of files alone, with these names."""
        return any(part in names for part in self._seeks)

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """As the reader itself."""
        return self.reader.claim(folder)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """As the reader itself."""
        return self.reader.read(source, resume)


class ReaderIndex:
    """Readers in the order in which they are asked. Folders whose files have the same names are worth the same readers' while."""

    def __init__(self, readers: Iterable[Reader]) -> None:
        self.readers = tuple(readers)
        self._by_names: dict[str, tuple[Reader, ...]] = {}

    def worth_asking(self, folder: Folder) -> tuple[Reader, ...]:
        """Those for which there may be something in a folder."""
        if folder.folders:
            return self.readers
        names = "\n".join(folder.files)
        if names not in self._by_names:
            if len(self._by_names) >= _MOST_NAMES:
                self._by_names.clear()
            self._by_names[names] = tuple(
                r for r in self.readers if not isinstance(r, LazyReader) or r.may_claim(names)
            )
        return self._by_names[names]


def loaded_reader(reader: Reader) -> Reader:
    """The reader itself, for those who ask what else it can do."""
    return reader.reader if isinstance(reader, LazyReader) else reader
