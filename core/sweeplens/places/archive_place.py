"""An archive as a place: .zip, .tar, and .tar compressed with gzip, bzip2, xz or zstd. Nothing in it is executed or linked.

An archive is untrusted. Its bounds: entries, bytes when unpacked and their ratio to the archive's size, names (`safe_name`),
and types: links and devices are left out. Of entries with the same name the last one counts, as when it is unpacked.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from sweeplens.errors import FormatError, PlaceError
from sweeplens.places.remote import RemoteFile
from sweeplens.places.tar_headers import CheckedHeader
from sweeplens.safe_open import open_buffered
from sweeplens.sources.given_roots import ARCHIVES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["ArchivePlace"]

MOST_ENTRIES = 500_000
MOST_RATIO = 200  # logs of text reach 30, a bomb reaches 1000
MOST_FREE = 256 << 20  # bytes that any archive may unpack to
_CHUNK = 1 << 20


def ArchivePlace(path: Path) -> ZipPlace | TarPlace:  # noqa: N802 - it makes one of two classes
    """Returns the place for an archive, by its name."""
    return ZipPlace(path) if path.name.lower().endswith(".zip") else TarPlace(path)


class _Archive:
    """What both kinds share: the listing, made again when the file changes, and its bounds."""

    concurrency = 1
    reads_parts = False

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.folder_name = _stem(path.name)
        self.notes: tuple[str, ...] = ()
        self._path = path
        self._identity: tuple[int, int, int] | None = None
        self._listed: list[RemoteFile] = []
        self._most_bytes = MOST_FREE

    def files(self) -> Sequence[RemoteFile]:
        """Returns all files in the archive. Raises PlaceError if it cannot be read or exceeds a bound."""
        with self._translated():
            info = os.stat(self._path)  # noqa: PTH116
            identity = (info.st_ino, info.st_size, info.st_mtime_ns)
            if identity != self._identity:
                self._most_bytes = max(MOST_FREE, MOST_RATIO * info.st_size)
                self._listed = self._list(f"{info.st_mtime_ns}-{info.st_size}")
                self._identity = identity
        return self._listed

    def _list(self, version: str) -> list[RemoteFile]:
        raise NotImplementedError

    def _check(self, entries: int, size: int) -> None:
        if entries > MOST_ENTRIES:
            raise PlaceError(
                f"{self.address} has more than {MOST_ENTRIES:,} entries: not read. Unpack it, if you trust it, and pass the folder."
            )
        if size > self._most_bytes:
            raise PlaceError(
                f"{self.address} unpacks to more than {MOST_RATIO} times its size, as an archive does that is made to fill disks:"
                " not read. Unpack it, if you trust it, and pass the folder."
            )

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except PlaceError:
            raise
        except OSError as error:
            raise PlaceError(f"{self.address} cannot be read: {error.strerror or error}.") from error
        except _BROKEN as error:
            raise PlaceError(f"{self.address} is damaged or no archive of its kind ({error}).") from error


class ZipPlace(_Archive):
    """A .zip file."""

    _open: zipfile.ZipFile | None = None

    def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yields an entry. Raises FormatError if it is damaged."""
        with _translated_entry():
            archive = self._opened()
            with archive.open(file.name if file.name in archive.NameToInfo else f"./{file.name}") as stream:
                yield from iter(lambda: stream.read(_CHUNK), b"")

    def close(self) -> None:
        """Closes the archive."""
        if self._open is not None:
            stream = cast("BinaryIO", self._open.fp)
            self._open.close()
            stream.close()
            self._open = None

    def _opened(self) -> zipfile.ZipFile:
        if self._open is None:
            stream = open_buffered(str(self._path))
            try:
                self._open = zipfile.ZipFile(stream)
            except BaseException:  # closes what was opened, and raises
                stream.close()
                raise
        return self._open

    def _list(self, version: str) -> list[RemoteFile]:
        self.close()
        found: dict[str, RemoteFile] = {}
        closed = special = size = 0
        infos = self._opened().infolist()
        self._check(len(infos), 0)
        for info in infos:
            size += info.file_size
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                closed += 1
            elif (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                special += 1
            else:
                name = info.filename.removeprefix("./")
                found[name] = RemoteFile(name, info.file_size, _zip_time(info), f"{info.CRC:08x}-{info.header_offset}")
        self._check(len(infos), size)
        if closed and not found:
            raise PlaceError(f"{self.address} is encrypted: unpack it with its password and pass the folder.")
        self.notes = tuple(_notes(self.address, special, closed))
        return list(found.values())


class TarPlace(_Archive):
    """A .tar file, compressed or not."""

    _open: tarfile.TarFile | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._members: dict[str, tarfile.TarInfo] = {}

    def read(self, file: RemoteFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yields an entry. Raises FormatError if it is damaged."""
        with _translated_entry():
            stream = self._opened().extractfile(self._members[file.name])
            if stream is None:
                raise FormatError("it is no file")
            yield from iter(lambda: stream.read(_CHUNK), b"")

    def close(self) -> None:
        """Closes the archive."""
        if self._open is not None:
            stream = cast("BinaryIO", self._open.fileobj)
            self._open.close()
            stream.close()
            self._open = None

    def _opened(self) -> tarfile.TarFile:
        if self._open is None:
            stream = _Unpacked(_opener(self._path), lambda position: self._check(0, position))
            try:
                self._open = tarfile.open(  # noqa: SIM115 - closed by `close`
                    fileobj=cast("BinaryIO", stream), mode="r:", tarinfo=CheckedHeader
                )
            except BaseException:  # closes what was opened, and raises
                stream.close()
                raise
        return self._open

    def _list(self, version: str) -> list[RemoteFile]:
        self.close()
        self._members = {}
        found: dict[str, RemoteFile] = {}
        special = size = 0
        for entries, info in enumerate(self._opened(), 1):
            if info.size < 0:  # as an attribute may say
                raise tarfile.ReadError("an entry has a negative size")
            size += info.size
            self._check(entries, size)
            if info.isreg():
                name = info.name.removeprefix("./")
                found[name] = RemoteFile(name, info.size, float(info.mtime), f"{version}-{info.offset_data}")
                self._members[name] = info
            elif not info.isdir():
                special += 1
        self.notes = tuple(_notes(self.address, special, 0))
        return sorted(found.values(), key=lambda f: self._members[f.name].offset_data)


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a file. Seeking back begins again, seeking forward reads; ``check`` raises at its bound."""

    def __init__(self, opener: Callable[[], BinaryIO], check: Callable[[int], None]) -> None:
        self._opener = opener
        self._check = check
        self._stream = opener()
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads the next bytes."""
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._position += len(data)
        self._check(self._position)
        return len(data)

    def tell(self) -> int:
        """Returns the position."""
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes to a position from the beginning, or from here."""
        target = offset + (self._position if whence == 1 else 0)
        if whence == 2:
            raise io.UnsupportedOperation("the end is not known")
        if target < self._position:
            self._stream.close()
            self._stream, self._position = self._opener(), 0
        while self._position < target:
            if not self.read(min(_CHUNK, target - self._position)):
                break
        return self._position

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        super().close()


def _opener(path: Path) -> Callable[[], BinaryIO]:
    """Returns a function that opens an archive at its first unpacked byte."""

    def unpacked() -> BinaryIO:
        stream = open_buffered(str(path))
        magic = stream.peek(6)
        if magic.startswith(b"\x1f\x8b"):
            import gzip

            return cast("BinaryIO", _Closing(gzip.GzipFile(fileobj=stream), stream))
        if magic.startswith(b"BZh"):
            import bz2

            return cast("BinaryIO", _Closing(bz2.BZ2File(stream), stream))
        if magic.startswith(b"\xfd7zXZ"):
            import lzma

            return cast("BinaryIO", _Closing(lzma.LZMAFile(stream), stream))
        if magic.startswith(b"\x28\xb5\x2f\xfd"):
            import zstandard

            reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stream, read_across_frames=True)
            return cast("BinaryIO", _Closing(cast("io.RawIOBase", reader), stream))
        return cast("BinaryIO", stream)

    return unpacked


class _Closing(io.RawIOBase):
    """A decompressing stream that closes the file below it."""

    def __init__(self, stream: io.RawIOBase | io.BufferedIOBase, below: io.IOBase) -> None:
        self._stream = stream
        self._below = below

    def read(self, size: int = -1, /) -> bytes:
        """Reads unpacked bytes; errors of a decompressor become those of a damaged archive."""
        return self._stream.read(size) or b""

    def close(self) -> None:
        """Closes both."""
        if not self.closed:
            self._stream.close()
            self._below.close()
        super().close()


def _broken_types() -> tuple[type[Exception], ...]:
    import lzma

    import zstandard

    return (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, NotImplementedError,
        RuntimeError, ValueError, KeyError, OverflowError, UnicodeError,
    )  # fmt: skip


_BROKEN = _broken_types()
"""What reading a damaged archive raises, besides OSError."""


@contextmanager
def _translated_entry() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise FormatError(f"it is damaged ({error})") from error  # gzip's error of a checksum
    except _BROKEN as error:
        raise FormatError(f"it is damaged ({error})") from error


def _notes(address: str, special: int, closed: int) -> Iterator[str]:
    if special:
        yield f"{special} entries of {address} are links or devices: left out."
    if closed:
        yield f"{closed} entries of {address} are encrypted: left out."


def _zip_time(info: zipfile.ZipInfo) -> float:
    """Returns the time of an entry, which a zip file gives as local time; 0 for a date that does not exist."""
    try:
        return datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _stem(name: str) -> str:
    ending = max((e for e in ARCHIVES if name.lower().endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)] or "archive"
