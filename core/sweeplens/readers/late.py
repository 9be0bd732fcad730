"""`Late`: one of our own readers by name and version; its module is imported when there may be something for it.

A start over a store that is up to date asks no reader anything, and need not wait for thirty of them to be imported; and most
folders are of a kind that most readers can leave by the names alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from importlib import import_module

from sweeplens.readers.protocol import Claim, Folder, Reader, Reading, Resume, Source

__all__ = ["Late", "opened"]


class Late:
    """The `Reader` that module ``name`` of this package has under the name ``noun``.

    ``seeks``: in a folder without folders it claims nothing unless the name of a file has one of these parts.
    """

    def __init__(self, name: str, noun: str, version: int, *seeks: str) -> None:
        self.name = name
        self.version = version
        self._noun = noun
        self._seeks = seeks

    @cached_property
    def reader(self) -> Reader:
        """The reader itself."""
        found: Reader = getattr(import_module(f"sweeplens.readers.{self.name}"), self._noun)()
        assert (found.name, found.version) == (self.name, self.version), f"READERS and {self._noun} disagree"
        return found

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """As the reader itself, which is not asked where there is nothing for it."""
        return self.reader.claim(folder) if folder.folders or folder.mentions(self._seeks) else ()

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """As the reader itself."""
        return self.reader.read(source, resume)


def opened(reader: Reader) -> Reader:
    """The reader itself, for those who ask what else it can do."""
    return reader.reader if isinstance(reader, Late) else reader
