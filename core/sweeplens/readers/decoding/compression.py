"""Reads gzip and zstd files like the files in them: names without the suffix, heads, whole contents; UTF-16 text as UTF-8.

A compressed file cannot be read from an offset, so such sources are read again whole when they change. The decompressed bytes
are counted while they are read, so that a decompression bomb stops early (`source_limits`).

    read_plain     returns the whole content, for one document
    line_pieces    yields the content in pieces of whole lines, for logs of any length
    reading        opens a stream
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

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.readers.decoding.zstd import zstd
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
    "sample",
]

_UTF16_SAMPLE = 64  # bytes in which UTF-16 is recognised
_SUFFIXES = (".gz", ".zst", ".zstd")
_LINES_BYTES = 8 << 20
_WINDOW: dict[int, int] = {
    zstd.DecompressionParameter.window_log_max: 27
}  # a frame may use 128 MiB of memory, as with `zstd --long=27`
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)


def is_compressed(name: str) -> bool:
    """Whether a name ends in the suffix of a compressed file."""
    return name.endswith(_SUFFIXES)


def plain_name(name: str) -> str:
    """Returns a name without the suffix of a compressed file: ``metrics.jsonl.gz`` -> ``metrics.jsonl``."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def keeps_places(path: str) -> bool:
    """Whether offsets in the content are offsets in the file: not in a compressed file or UTF-16."""
    return not is_compressed(path) and not _utf16(head_bytes(path, _UTF16_SAMPLE))


def head_bytes(path: str, size: int) -> bytes:
    """Returns the first bytes of a file, not decompressed."""
    with open_file(path) as raw:
        return raw.read(size) or b""


def _utf16(begin: bytes) -> str:
    """Returns the codec of text in UTF-16, with a byte order mark or (for Latin letters) without; "" for other content."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = begin[0:_UTF16_SAMPLE:2], begin[1:_UTF16_SAMPLE:2]
    if len(odd) < 8:
        return ""
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else ""


def _as_utf8(data: bytes) -> bytes:
    """Returns text in UTF-16 as UTF-8; other content unchanged."""
    codec = _utf16(data[:_UTF16_SAMPLE])
    return data.decode(codec, "replace").encode() if codec else data


class _DecompressedStream(io.RawIOBase):
    """The decompressed stream of a file. It compares the bytes that it returns with the compressed bytes that it read."""

    def __init__(self, compressed: SourceFile, plain: IO[bytes]) -> None:
        super().__init__()
        self._compressed, self._plain = compressed, plain
        self._returned = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        data = self._plain.read(len(memoryview(buffer)))
        memoryview(buffer)[: len(data)] = data
        self._returned += len(data)
        check_inflation(self._returned, self._compressed.tell())
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._plain.close()
            self._compressed.close()
        super().close()


def open_plain(path: str) -> IO[bytes]:
    """Opens a file for reading, decompressed; returns text in UTF-16 as UTF-8."""
    stream = _opened(path)
    if not _utf16(stream.peek(_UTF16_SAMPLE)[:_UTF16_SAMPLE]):
        return stream
    with stream:
        return io.BytesIO(_as_utf8(stream.read(DOCUMENT_BYTES)))


def _opened(path: str) -> io.BufferedReader:
    if not is_compressed(path):
        return open_buffered(path)
    compressed = open_file(path)
    return io.BufferedReader(_DecompressedStream(compressed, _decompressor(path, compressed)), PIECE_BYTES)


def _decompressor(path: str, compressed: SourceFile) -> IO[bytes]:
    if path.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=compressed, mode="rb"))
    return cast("IO[bytes]", zstd.ZstdFile(compressed, options=_WINDOW))


def head(path: str, size: int) -> bytes:
    """Returns the first ``size`` bytes of the decompressed content; empty when the file cannot be read or decompressed."""
    try:
        if is_compressed(path):
            with open_file(path) as compressed, _decompressor(path, compressed) as stream:
                return _as_utf8(stream.read(size))
        with open_file(path) as raw:
            return _as_utf8(raw.read(size) or b"")
    except (OSError, ValueError, MemoryError, FormatError, *_DAMAGE):
        return b""


def first_line(path: str, size: int, most: int) -> bytes:
    """Returns the first line and ``size`` bytes after it, where it ends within ``most`` bytes; else a quarter of these."""
    data = head(path, most)
    end = data.find(b"\n") + 1
    return data[: end + size] if end else data[: most // 4]


def sample(path: str, size: int) -> bytes:
    """Returns up to ``size`` bytes of the content in whole lines: half from its beginning, the rest from its middle and end.

    Of a compressed file and of UTF-16 it returns only the beginning. The result is empty when the file cannot be read.
    """
    if is_compressed(path):
        return head(path, size)
    piece = size // 4
    try:
        with open_file(path) as raw:
            total = os.fstat(raw.fileno()).st_size
            first = raw.read(2 * piece) or b""
            if _utf16(first[:_UTF16_SAMPLE]):
                return head(path, size)
            if total <= size:
                return first + (raw.read(size - len(first)) or b"")
            pieces = [first[: first.rfind(b"\n") + 1]]
            for at in (total // 2, total - piece):
                raw.seek(max(at, 2 * piece))
                data = raw.read(piece) or b""
                pieces.append(data[data.find(b"\n") + 1 : data.rfind(b"\n") + 1])
            return b"".join(pieces)
    except (OSError, ValueError, MemoryError, FormatError):
        return b""


@contextmanager
def reading(path: str) -> Generator[IO[bytes], None, None]:
    """Opens a file like `open_plain`; damage found while reading raises FormatError."""
    try:
        with open_plain(path) as stream:
            yield stream
    except _DAMAGE as error:
        raise FormatError(f"the compressed file is damaged: {error}") from error


def read_config_bytes(path: str) -> bytes:
    """Returns the content of a configuration. Raises like `read_plain`, and SourceLimitError beyond `CONFIG_BYTES`."""
    with reading(path) as stream:
        data = stream.read(PIECE_BYTES)
        if len(data) == PIECE_BYTES:
            data += stream.read(CONFIG_BYTES)
    if len(data) > CONFIG_BYTES:
        raise SourceLimitError(f"larger than {CONFIG_BYTES >> 20} MB")
    return data


def read_config_text(path: str) -> str:
    """Returns `read_config_bytes` as text, with replacement characters for bytes that are not UTF-8."""
    return read_config_bytes(path).decode("utf-8-sig", "replace")


def read_plain(path: str, offset: int = 0) -> bytes:
    """Returns the content from an offset. Raises FormatError for a damaged file, SourceLimitError for a file that is too large."""
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
    """Returns the next ``size`` bytes only, since a file may grow faster than it is read."""
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
        "Logs with one row in each line (JSONL, CSV) may be larger."
    )


def line_pieces(path: str, offset: int = 0) -> Iterator[bytes]:
    """Yields the content from an offset in pieces of whole lines; the last piece may lack its newline.

    Raises like `read_plain`, and SourceLimitError at a line that is too long.
    """
    with reading(path) as stream:
        is_file = isinstance(getattr(stream, "raw", None), SourceFile)  # neither decompressed nor converted from UTF-16
        left = os.fstat(stream.fileno()).st_size - offset if is_file else 1 << 62
        stream.seek(offset) if is_file else stream.read(offset)
        rest: list[bytes] = []  # pieces of a line without its newline
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
                raise SourceLimitError(f"a line of more than {LINE_BYTES >> 20} MB: the rest is not read")
        if held:
            yield b"".join(rest)
