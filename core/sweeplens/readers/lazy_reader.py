"""`LazyReader`: a built-in reader whose module is imported only when a folder may hold its format.

A start with an up-to-date store uses no reader, so it need not import all of them. In most folders the file names alone rule out
most readers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from importlib import import_module

from sweeplens.readers.protocol import Claim, Folder, Reader, Reading, Resume, Source

__all__ = ["LazyReader", "ReaderIndex", "loaded_reader"]

_MOST_NAMES = 1000  # different lists of file names that are cached


class LazyReader:
    """The `Reader` class ``class_name`` of a module of this package, imported at first use.

    ``name_parts``: in a folder without subfolders it claims nothing unless a file's name contains one of these (`ReaderIndex`).
    """

    def __init__(self, name: str, module: str, class_name: str, version: int, *name_parts: str) -> None:
        self.name = name
        self.version = version
        self._module = module
        self._class_name = class_name
        self._name_parts = name_parts

    @cached_property
    def reader(self) -> Reader:
        """The reader itself."""
        found: Reader = getattr(import_module(f"sweeplens.readers.{self._module}"), self._class_name)()
        assert (found.name, found.version) == (self.name, self.version), f"READERS and {self._class_name} disagree"
        return found

    def may_claim(self, names: str) -> bool:
        """Whether it may claim a file in a folder without subfolders that has these names, joined."""
        return any(part in names for part in self._name_parts)

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Calls the reader's own `claim`."""
        return self.reader.claim(folder)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Calls the reader's own `read`."""
        return self.reader.read(source, resume)


class ReaderIndex:
    """Readers in the order in which they see a folder. Folders with the same file names have the same candidates."""

    def __init__(self, readers: Iterable[Reader]) -> None:
        self.readers = tuple(readers)
        self._by_names: dict[str, tuple[Reader, ...]] = {}

    def candidates(self, folder: Folder) -> tuple[Reader, ...]:
        """Returns the readers that may claim something in a folder."""
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
    """Returns the reader itself, to see which optional methods it has."""
    return reader.reader if isinstance(reader, LazyReader) else reader
