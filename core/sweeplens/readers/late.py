"""`Late`: one of our own readers by name and version; its module is imported when the first folder is offered to it.

A start over a store that is up to date asks no reader anything, and need not wait for thirty of them to be imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from importlib import import_module

from sweeplens.readers.protocol import Claim, Folder, Reader, Reading, Resume, Source

__all__ = ["Late", "opened"]


class Late:
    """The `Reader` that module ``name`` of this package has under the name ``noun``."""

    def __init__(self, name: str, noun: str, version: int) -> None:
        self.name = name
        self.version = version
        self._noun = noun

    @cached_property
    def reader(self) -> Reader:
        """The reader itself."""
        found: Reader = getattr(import_module(f"sweeplens.readers.{self.name}"), self._noun)()
        assert (found.name, found.version) == (self.name, self.version), f"READERS and {self._noun} disagree"
        return found

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """As the reader itself."""
        return self.reader.claim(folder)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """As the reader itself."""
        return self.reader.read(source, resume)


def opened(reader: Reader) -> Reader:
    """The reader itself, for those who ask what else it can do."""
    return reader.reader if isinstance(reader, Late) else reader
