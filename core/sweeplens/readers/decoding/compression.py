"""Gzip and zstd copies read as the file they hold: names without their suffix, heads, and whole contents.

A compressed file cannot be read from an offset: such sources are read anew whenever they change.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from sweeplens.errors import FormatError

__all__ = ["MAX_INFLATION", "head", "is_compressed", "open_plain", "plain_name", "reading", "sample"]

_SUFFIXES = (".gz", ".zst", ".zstd")
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)
MAX_INFLATION = 4 << 30
"""Bytes that one compressed file may become: beyond that it is refused as a bomb."""


def is_compressed(name: str) -> bool:
    """Whether the name ends in a compression's suffix."""
    return name.endswith(_SUFFIXES)


def plain_name(name: str) -> str:
    """The name without the compression's suffix: ``metrics.jsonl.gz`` -> ``metrics.jsonl``."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def open_plain(path: str) -> IO[bytes]:
    """Open a file for reading, through its decompressor where it has one."""
    if path.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.endswith((".zst", ".zstd")):
        raw = Path(path).open("rb")  # noqa: SIM115 - the stream reader closes it
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True))
    return open(path, "rb")  # noqa: PTH123 - thousands of files: Path is slow; the caller closes it


def head(path: str, size: int) -> bytes:
    """The first ``size`` bytes of the plain content; empty when the file cannot be read or is no such archive."""
    try:
        if is_compressed(path):
            with open_plain(path) as stream:
                return stream.read(size)
        with open(path, "rb", buffering=0) as raw:  # noqa: PTH123 - thousands of files, and no more of each is read
            return raw.read(size) or b""
    except (OSError, ValueError, *_DAMAGE):
        return b""


def sample(path: str, size: int) -> bytes:
    """At most ``size`` bytes of the plain content: half of them its beginning, the others from its middle and its end.

    Pieces begin and end with lines. Of a compressed file it is the beginning; empty when the file cannot be read.
    """
    if is_compressed(path):
        return head(path, size)
    piece = size // 4
    try:
        with open(path, "rb", buffering=0) as raw:  # noqa: PTH123 - as in `head`
            total = os.fstat(raw.fileno()).st_size
            if total <= size:
                return raw.read(size) or b""
            first = raw.read(2 * piece) or b""
            pieces = [first[: first.rfind(b"\n") + 1]]
            for at in (total // 2, total - piece):
                raw.seek(max(at, 2 * piece))
                data = raw.read(piece) or b""
                pieces.append(data[data.find(b"\n") + 1 : data.rfind(b"\n") + 1])
            return b"".join(pieces)
    except (OSError, ValueError):
        return b""


@contextmanager
def reading(path: str) -> Generator[IO[bytes], None, None]:
    """`open_plain` for reading piece by piece: damage that is met on the way is a FormatError."""
    try:
        with open_plain(path) as stream:
            yield stream
    except _DAMAGE as error:
        raise FormatError(f"the compressed file is damaged: {error}") from error


def read_plain(path: str, offset: int = 0) -> bytes:
    """The plain content from an offset on. Raises FormatError for a broken or bloated archive."""
    try:
        with open_plain(path) as stream:
            if offset:
                stream.seek(offset)
            data = stream.read(MAX_INFLATION + 1)
    except _DAMAGE as error:
        raise FormatError(f"the compressed file is damaged: {error}") from error
    if len(data) > MAX_INFLATION:
        raise FormatError(f"it inflates to more than {MAX_INFLATION >> 30} GB: not read")
    return data
