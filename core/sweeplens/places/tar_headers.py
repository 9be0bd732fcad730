"""`CheckedHeader`: the headers of a hostile tar file, refused before Python's own parser takes time or memory for them.

A negative size sends the parser back to an entry that it has read, without end. A header of names may be gigabytes long, and
long rows of digits in it take quadratic time. Older releases of Python accept all of these.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from typing import Any, cast

__all__ = ["CheckedHeader"]

_MOST_BYTES = 1 << 20  # of names and attributes of one entry
_DIGITS = re.compile(rb"\d{100}")


class CheckedHeader(tarfile.TarInfo):
    """A header that raises tarfile.ReadError for sizes that no honest archive has."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> CheckedHeader:
        """Parses the block of a header."""
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0:
            raise tarfile.ReadError("an entry has a negative size")
        named = header.type in (
            tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
        )  # fmt: skip
        if named and header.size > _MOST_BYTES:
            raise tarfile.ReadError("the name of an entry is longer than any path")
        return header

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Parses attributes, after a look at their bytes."""
        whole = archive.fileobj
        assert whole is not None
        data = whole.read(-(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        if _DIGITS.search(data):
            raise tarfile.ReadError("an attribute is one long number")
        archive.fileobj = cast("Any", _ReadAgain(data, whole))
        try:
            parse = cast("Callable[[tarfile.TarFile], tarfile.TarInfo]", super()._proc_pax)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            return parse(archive)
        finally:
            archive.fileobj = whole


class _ReadAgain:
    """A stream whose next read returns bytes that were read before."""

    def __init__(self, data: bytes, stream: Any) -> None:
        self._data: bytes | None = data
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Returns the bytes once, then those of the stream."""
        data, self._data = self._data, None
        return self._stream.read(size) if data is None else data

    def seek(self, position: int) -> int:
        """Seeks in the stream."""
        return self._stream.seek(position)

    def tell(self) -> int:
        """Returns the position in the stream."""
        return self._stream.tell()
