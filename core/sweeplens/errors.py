"""Every error that sweeplens raises on purpose. Each finishes its sentence: what was wrong, what is near, what to do.

SweeplensError
├── ConfigError            a setting that cannot be used
├── InputError             an argument that cannot be used
│   ├── UnknownNameError   a run, metric, hyperparameter or column that is not there
│   ├── AmbiguousGoalError a metric whose direction is neither configured nor known by its name
│   └── CursorError        a cursor that is not ours, or whose data moved on
├── RootError              a folder that is missing, unreadable or holds no experiments
├── FormatError            a file that is not what its format says
│   └── SourceLimitError   a file that is larger, longer or slower than what is read of one source
├── RefusedFileError       a path that leads outside of the roots, or to no regular file
├── StoreError             the store cannot be read or written
└── LimitError             a bound on time, memory or size was reached
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AmbiguousGoalError",
    "ConfigError",
    "CursorError",
    "FormatError",
    "InputError",
    "LimitError",
    "RefusedFileError",
    "RootError",
    "SourceLimitError",
    "StoreError",
    "SweeplensError",
    "UnknownNameError",
    "nearest",
]


_SHOWN = 200  # characters of a name that an error repeats


class SweeplensError(Exception):
    """The root of the tree: catch this to catch everything that sweeplens raises on purpose."""


class ConfigError(SweeplensError):
    """A setting that cannot be used; the message names the field and the remedy."""


class InputError(SweeplensError, ValueError):
    """An argument that cannot be used; the message says what would do."""


class UnknownNameError(InputError):
    """A name that is not there, with the nearest names that are."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> UnknownNameError:
        """Build the sentence: ``No metric 'val_acc'. Nearest: 'val/acc'. list_metrics shows all 14.``"""
        names = list(known)
        if len(name) > _SHOWN:
            name = f"{name[:_SHOWN]}..."
        near = nearest(name, names)
        offer = f" Nearest: {', '.join(repr(n) for n in near)}." if near else ""
        return cls(f"No {kind} {name!r}.{offer}{' ' + hint if hint else ''}")


class AmbiguousGoalError(InputError):
    """Whether lower or higher is better is not known: the message asks for it."""


class CursorError(InputError):
    """A cursor that is not one of ours, or that names data which moved on."""


class RootError(SweeplensError, FileNotFoundError):
    """A root folder that is missing, cannot be read, or holds nothing that any reader knows."""


class FormatError(SweeplensError):
    """A file that is not what its format says; readers turn it into a problem of that file."""


class SourceLimitError(FormatError):
    """A source goes beyond a limit on size, length or time (`source_limits`); it becomes a problem of that source."""


class RefusedFileError(SweeplensError, OSError):
    """A path that leads outside of the roots, or to no regular file: it is not read, as if it could not be opened."""


class StoreError(SweeplensError):
    """The store cannot be read or written."""


class LimitError(SweeplensError):
    """A bound on time, memory or size was reached; the message says how to narrow the question."""


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> list[str]:
    """The known names most like ``name``, best first: spelling without case and separators, then containment."""
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(_fold(candidate), candidate)
    want = _fold(name)
    close = [folded[f] for f in difflib.get_close_matches(want, list(folded), n=n, cutoff=0.5)]
    inside = [original for f, original in folded.items() if want and (want in f or f in want)]
    return list(dict.fromkeys(close + inside))[:n]


def _fold(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
