"""Panics of Rust libraries as ordinary errors.

A panic in Polars, deltalake or obstore is a BaseException, of a class of its own in each of these packages, so `except Exception`
lets it pass and ends a thread or a server. Inside `panics_as_errors` it becomes a `PanicException`, which boundaries handle like
any other error.
"""

from __future__ import annotations

from types import TracebackType

__all__ = ["PanicException", "panics_as_errors"]

_MODULE = "pyo3_runtime"  # of every panic class, whichever package it comes from


class PanicException(Exception):  # noqa: N818 - the name that users know from tracebacks
    """A Rust library panicked; the message is the first line of its own."""


class panics_as_errors:  # noqa: N801 - used like a function
    """Inside this block, a panic of a Rust library is raised as PanicException."""

    def __enter__(self) -> None:
        """Begins the block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Translates a panic; passes everything else on."""
        if kind is not None and kind.__module__ == _MODULE:
            raise PanicException(str(error).partition("\n")[0]) from error
