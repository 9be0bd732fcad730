"""Arrays of numbers out of a NumPy archive (`.npz`), read as data: nothing is unpickled, no length is believed.

A member's shape is checked against the bytes that are there before an array is made of them.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sweeplens.errors import FormatError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["read_arrays"]

MAX_MEMBER_BYTES = 1 << 28


def read_arrays(path: str, names: Iterable[str]) -> dict[str, Array]:
    """The named members that the archive has, as arrays of floats. Raises FormatError for a damaged archive."""
    found: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
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


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as stream:
        data = stream.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise ValueError(f"{name} is larger than {MAX_MEMBER_BYTES >> 20} MB")
    return data


def _array(data: bytes) -> Array:
    import numpy as np
    from numpy.lib import format as npy

    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"unknown version {version} of the array format")
    shape, fortran, dtype = read(stream)
    body = data[stream.tell() :]
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype}, not numbers")
    count = math.prod(shape)
    if any(n < 0 for n in shape) or count * dtype.itemsize > len(body):
        raise ValueError("says that it is longer than it is")
    flat = np.frombuffer(body, dtype=dtype, count=count).astype(np.float64)
    return flat.reshape(shape, order="F" if fortran else "C")
