"""Gzip and zstd copies read as the file they hold: names without their suffix, heads, and whole contents.

A compressed file cannot be read from an offset: such sources are read anew whenever they change. Whatever it becomes is counted
while it is read, so that a bomb ends early (`source_limits`).

    read_plain     the whole content, for one document
    line_pieces    the content in pieces of whole lines, for logs of any length
    reading        an open stream
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

import zstandard

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.safe_open import SourceFile, open_buffered, open_file
from sweeplens.source_limits import CONFIG_BYTES, DOCUMENT_BYTES, LINE_BYTES, PIECE_BYTES, check_inflation

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "head",
    "is_compressed",
    "keeps_places",
    "line_pieces",
    "open_plain",
    "plain_name",
    "read_config_bytes",
    "read_config_text",
    "read_plain",
    "reading",
]

_TELLING = 64  # bytes that tell UTF-16
_SUFFIXES = (".gz", ".zst", ".zstd")
_LINES_BYTES = 8 << 20
_MAX_WINDOW = 128 << 20  # memory that a zstd frame may ask for; what --long=27 writes
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)


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
    with open_file(path) as raw:
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


class _Inflated(io.RawIOBase):
    """What a compressed file becomes, counted against the bytes that were read of it."""

    def __init__(self, packed: SourceFile, plain: IO[bytes]) -> None:
        super().__init__()
        self._packed, self._plain = packed, plain
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        data = self._plain.read(len(memoryview(buffer)))
        memoryview(buffer)[: len(data)] = data
        self._given += len(data)
        check_inflation(self._given, self._packed.tell())
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._plain.close()
            self._packed.close()
        super().close()


def open_plain(path: str) -> IO[bytes]:
    """Open a file for reading, through its decompressor where it has one; text in UTF-16 is given as UTF-8."""
    stream = _opened(path)
    if not _utf16(stream.peek(_TELLING)[:_TELLING]):
        return stream
    with stream:
        return io.BytesIO(_as_utf8(stream.read(DOCUMENT_BYTES)))


def _opened(path: str) -> io.BufferedReader:
    if not is_compressed(path):
        return open_buffered(path)
    packed = open_file(path)
    return io.BufferedReader(_Inflated(packed, _decompressor(path, packed)), PIECE_BYTES)


def _decompressor(path: str, packed: SourceFile) -> IO[bytes]:
    if path.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=packed, mode="rb"))
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    return cast("IO[bytes]", decompressor.stream_reader(packed, read_across_frames=True, closefd=False))


def head(path: str, size: int) -> bytes:
    """The first ``size`` bytes of the plain content; empty when the file cannot be read or is no such archive."""
    try:
        if is_compressed(path):
            with open_file(path) as packed, _decompressor(path, packed) as stream:
                return _as_utf8(stream.read(size))
        with open_file(path) as raw:
            return _as_utf8(raw.read(size) or b"")
    except (OSError, ValueError, MemoryError, FormatError, *_DAMAGE):
        return b""


@contextmanager
def reading(path: str) -> Generator[IO[bytes], None, None]:
    """`open_plain` for reading piece by piece: damage that is met on the way is a FormatError."""
    try:
        with open_plain(path) as stream:
            yield stream
    except _DAMAGE as error:
        raise FormatError(f"the compressed file is damaged: {error}") from error


def read_config_bytes(path: str) -> bytes:
    """The plain content of a configuration. Raises as `read_plain`, and SourceLimitError beyond `CONFIG_BYTES`."""
    with reading(path) as stream:
        data = stream.read(PIECE_BYTES)
        if len(data) == PIECE_BYTES:
            data += stream.read(CONFIG_BYTES)
    if len(data) > CONFIG_BYTES:
        raise SourceLimitError(f"larger than {CONFIG_BYTES >> 20} MB")
    return data


def read_config_text(path: str) -> str:
    """`read_config_bytes` as text; what is no UTF-8 is replaced."""
    return read_config_bytes(path).decode("utf-8-sig", "replace")


def read_plain(path: str, offset: int = 0) -> bytes:
    """The plain content from an offset on. Raises FormatError for a broken archive, SourceLimitError for what is too much."""
    if is_compressed(path):
        with reading(path) as stream:
            stream.read(offset)
            return b"".join(_bounded(iter(lambda: stream.read(PIECE_BYTES), b"")))
    with open_file(path) as raw:
        size = os.fstat(raw.fileno()).st_size - offset
        if size > DOCUMENT_BYTES:
            raise _too_large(size)
        raw.seek(offset)
        return _exactly(raw, size)


def _exactly(raw: SourceFile, size: int) -> bytes:
    """The next bytes, as many as there were when the file was opened: one that grows faster than it is read has no end."""
    data = raw.read(size) if size > 0 else b""
    if len(data) >= size:
        return data
    pieces = [data]
    while size > sum(map(len, pieces)) and (piece := raw.read(size - sum(map(len, pieces)))):
        pieces.append(piece)
    return b"".join(pieces)


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > DOCUMENT_BYTES:
            raise _too_large(size)
        yield piece


def _too_large(size: int) -> SourceLimitError:
    return SourceLimitError(
        f"a document of more than {size >> 20:,} MB: only up to {DOCUMENT_BYTES >> 20} MB are read as a whole. "
        "Logs with one row a line (JSONL, CSV) may be larger."
    )


def line_pieces(path: str, offset: int = 0) -> Iterator[bytes]:
    """The plain content from an offset on in pieces that end where a line ends, the last one perhaps not.

    Raises as `read_plain`, and SourceLimitError at a line that is too long.
    """
    with reading(path) as stream:
        is_file = isinstance(getattr(stream, "raw", None), SourceFile)  # not inflated, not made of UTF-16
        left = os.fstat(stream.fileno()).st_size - offset if is_file else 1 << 62
        stream.seek(offset) if is_file else stream.read(offset)
        rest: list[bytes] = []  # of a line that no newline has ended yet
        held = 0
        while left > 0 and (piece := stream.read(min(_LINES_BYTES, left))):
            left -= len(piece)
            end = piece.rfind(b"\n") + 1
            if end:
                yield b"".join((*rest, piece[:end])) if rest or end < len(piece) else piece
                rest, held = [], 0
            rest.append(piece[end:])
            held += len(piece) - end
            if held > LINE_BYTES:
                raise SourceLimitError(f"a line of more than {LINE_BYTES >> 20} MB: what follows is not read")
        if held:
            yield b"".join(rest)
