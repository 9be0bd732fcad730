"""Loads what is compiled, once: readers of rows of JSON (`step_table`) and of text logs (`line_scan`), and `trees`.

compiled_library()  -> the library; None, with a warning in the log, where it is missing or was built from other sources
is_compiled()       -> whether there is one
"""

from __future__ import annotations

import ctypes
import logging
import sys
from ctypes import POINTER, Structure, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LIBRARY", "UnparsedSpan", "address", "compiled_library", "is_compiled"]

LIBRARY = Path(__file__).with_name("step_lines" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so"))
_VERSION = 8  # of the interface between C and Python


class UnparsedSpan(Structure):
    """A line that the reader of JSON left."""

    _fields_ = (("begin", c_int64), ("end", c_int64), ("number", c_int64))


@cache
def compiled_library() -> ctypes.CDLL | None:
    """Loads the compiled file; None, with a warning in the log, if it cannot be used."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        if library.table_version() != _VERSION:
            raise OSError(f"{LIBRARY.name} was built from other sources")
    except (OSError, AttributeError) as error:
        logging.getLogger("sweeplens.native").warning(
            "JSON lines and text logs are read by Python, slowly: %s. Reinstall sweeplens", error
        )
        return None
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def is_compiled() -> bool:
    """Whether there is a compiled library."""
    return compiled_library() is not None


def address(array: NDArray[Any]) -> int:
    """Returns the address of an array without gaps."""
    assert array.flags.c_contiguous
    return array.ctypes.data


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "table_new": (c_void_p, c_char_p, c_int64, c_int64),
    "table_free": (None, c_void_p),
    "table_begin": (None, c_void_p, c_uint32),
    "table_keep": (None, c_void_p),
    "table_read": (c_int64, c_void_p, c_void_p, c_int64, c_void_p, c_void_p, POINTER(UnparsedSpan), c_int64),
    "table_rows": (c_int64, c_void_p),
    "table_columns": (c_int32, c_void_p),
    "table_is_full": (c_int32, c_void_p),
    "table_others": (c_int64, c_void_p, c_int32),
    "table_kind": (c_int32, c_void_p, c_int32),
    "table_values": (c_int64, c_void_p, c_int32),
    "table_words": (c_int32, c_void_p, c_int32),
    "table_word": (c_void_p, c_void_p, c_int32, c_int32, c_void_p),
    "table_key": (c_void_p, c_void_p, c_int32, c_void_p),
    "table_take": (c_int32, c_void_p, c_int32, c_void_p, c_void_p),
    "tree_grow": (c_int32, c_void_p, c_void_p, c_int32, c_int32, c_int32, c_uint64, c_void_p),
    "tree_ask": (None, c_void_p, c_void_p, c_int64, c_int32, c_void_p),
    "place_text_rows": (
        c_int32,
        c_void_p,
        c_int64,
        c_void_p,
        c_void_p,
        c_void_p,
        c_void_p,
        c_int64,
        c_int64,
        *(c_void_p,) * 5,
    ),
    "scan_new": (c_void_p,),
    "scan_free": (None, c_void_p),
    "scan_text": (c_int64, c_void_p, c_char_p, c_int64),
    "text_is_clean": (c_int32, c_char_p, c_int64),
    "scan_ends": (c_int64, c_void_p),
    "scan_shapes": (c_int32, c_void_p),
    "scan_copy_lines": (None, c_void_p, c_void_p, c_void_p, c_void_p),
    "scan_copy_shapes": (None, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
    "scan_copy_values": (c_int32, c_void_p, c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_void_p),
    "scan_copy_places": (c_int32, c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_void_p),
}
