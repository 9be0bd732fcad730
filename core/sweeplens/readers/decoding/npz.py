"""Reads arrays of numbers from a NumPy archive (`.npz`) without unpickling.

A member's shape is checked against its bytes before an array is made.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.safe_open import open_buffered
from sweeplens.source_limits import ARCHIVE_BYTES, PIECE_BYTES

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["read_array", "read_arrays"]

MAX_MEMBER_BYTES = 1 << 28
MAX_NUMBERS = MAX_MEMBER_BYTES // 8
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?(?:b1|[iu][1248]|f[248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12},? ?){0,8})\),? ?\}\s*"
)


def read_arrays(path: str, names: Iterable[str]) -> dict[str, Array]:
    """Returns the named members of the archive as arrays of floats. Raises FormatError for a damaged archive."""
    found: dict[str, Array] = {}
    try:
        with open_buffered(path) as stream, zipfile.ZipFile(_checked(stream)) as archive:
            members = set(archive.namelist())
            for name in names:
                if f"{name}.npy" in members:
                    found[name] = _array(_member(archive, f"{name}.npy"))
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,
        SyntaxError,
        RuntimeError,
    ) as error:
        raise FormatError(f"{path} cannot be read as arrays: {error}") from error
    return found


def read_array(path: str) -> Array:
    """Returns the array of floats of a ``.npy`` file. Raises FormatError where it holds none (a pickle, a cut file)."""
    with open_buffered(path) as stream:
        data = stream.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise SourceLimitError(f"an array of more than {MAX_MEMBER_BYTES >> 20} MB: not read")
    try:
        return _array(data)
    except ValueError as error:
        raise FormatError(f"{path} {error}") from error


def _checked(stream: IO[bytes]) -> IO[bytes]:
    """Refuses an archive whose directory may not fit in memory."""
    if os.fstat(stream.fileno()).st_size > ARCHIVE_BYTES:
        raise SourceLimitError(f"an archive of more than {ARCHIVE_BYTES >> 20} MB: not read")
    return stream


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{name} is larger than {MAX_MEMBER_BYTES >> 20} MB")
    with archive.open(name) as stream:  # reads at most the size in the directory
        return b"".join(iter(lambda: stream.read(PIECE_BYTES), b""))


def _array(data: bytes) -> Array:
    """Decodes a member: magic number, version, length of the header, header, numbers."""
    import numpy as np

    wide = data[6:7] != b"\x01"  # since version 2 the length has four bytes
    begin = 12 if wide else 10
    body = begin + int.from_bytes(data[8:begin], "little")
    header = _HEADER.fullmatch(data[begin:body]) if data.startswith(_MAGIC) and body <= len(data) else None
    if header is None:
        raise ValueError("holds no plain array of numbers")
    dtype = np.dtype(header[1].decode("ascii"))
    shape = tuple(int(n) for n in header[3].split(b",") if n.strip())
    count = math.prod(shape)
    if count * dtype.itemsize > len(data) - body:
        raise ValueError("is shorter than its header says")
    if count > MAX_NUMBERS:
        raise ValueError(f"holds more than {MAX_NUMBERS:,} numbers")
    flat = np.frombuffer(data, dtype=dtype, count=count, offset=body).astype(np.float64)
    return flat.reshape(shape, order="F" if header[2] == b"True" else "C")
