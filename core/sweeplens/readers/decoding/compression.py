"""Gzip and zstd copies read as the file they hold: names without their suffix, heads, and whole contents.

A compressed file cannot be read from an offset: such sources are read anew whenever they change.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from sweeplens.errors import FormatError

__all__ = ["MAX_INFLATION", "head", "is_compressed", "keeps_places", "open_plain", "plain_name", "reading"]

_TELLING = 64  # bytes that tell UTF-16
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


def keeps_places(path: str) -> bool:
    """Whether a place in the content is a place in the file: not where it is compressed or written in UTF-16."""
    return not is_compressed(path) and not _utf16(head_bytes(path, _TELLING))


def head_bytes(path: str, size: int) -> bytes:
    """The first bytes of a file as they lie on disk."""
    with open(path, "rb", buffering=0) as raw:  # noqa: PTH123 - thousands of files: Path is slow
        return raw.read(size) or b""


def _utf16(begin: bytes) -> str:
    """The codec of text in UTF-16, with a mark or (of Latin letters) without; "" for all other content."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = begin[0:_TELLING:2], begin[1:_TELLING:2]
    if len(odd) < 8:
        return ""
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else ""


def _as_utf8(data: bytes) -> bytes:
    """Text in UTF-16 as UTF-8; anything else as it is."""
    codec = _utf16(data[:_TELLING])
    return data.decode(codec, "replace").encode() if codec else data


def open_plain(path: str) -> IO[bytes]:
    """Open a file for reading, through its decompressor where it has one; text in UTF-16 is given as UTF-8."""
    stream: IO[bytes] = _opened(path)
    begin = cast("io.BufferedReader", stream).peek(_TELLING)[:_TELLING] if hasattr(stream, "peek") else b""
    if not _utf16(begin):
        return stream
    with stream:
        return io.BytesIO(_as_utf8(stream.read(MAX_INFLATION)))


def _opened(path: str) -> IO[bytes]:
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
            return _as_utf8(raw.read(size) or b"")
    except (OSError, ValueError, *_DAMAGE):
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
