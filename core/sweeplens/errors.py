"""All errors that sweeplens raises on purpose. Each message says what was wrong, what is near and what to do.

SweeplensError
├── ConfigError            a setting that cannot be used
├── InputError             an argument that cannot be used
│   ├── UnknownNameError   a run, metric, hyperparameter or column that does not exist
│   │   └── QuotesError    a condition in which quotes are missing or are of the wrong kind
│   ├── AmbiguousGoalError a metric whose direction is neither configured nor known by its name
│   └── CursorError        a cursor that is invalid, or whose data have changed
├── RootError              a folder that is missing, unreadable or without experiments
│   └── PlaceError         another place (a bucket, a server, an archive) that cannot be read
├── FormatError            a file that does not follow its format
│   └── SourceLimitError   a file that exceeds a limit on size, length or time for one source
├── RefusedFileError       a path that leads outside the roots, or not to a regular file
├── StoreError             the store cannot be read or written
├── EngineError            a cluster cannot answer
├── RenderError            a chart cannot be drawn on this machine
├── MissingExtraError      a package of an extra of the installation is missing
└── LimitError             a limit on time, memory or size was reached
"""

from __future__ import annotations

from collections.abc import Iterable

from sweeplens.near_names import nearest

__all__ = [
    "LOAD_FAILED",
    "AmbiguousGoalError",
    "ConfigError",
    "CursorError",
    "EngineError",
    "FormatError",
    "InputError",
    "LimitError",
    "MissingExtraError",
    "PlaceError",
    "QuotesError",
    "RefusedFileError",
    "RenderError",
    "RootError",
    "SourceLimitError",
    "StoreError",
    "SweeplensError",
    "UnknownNameError",
    "nearest",
]


_SHOWN = 200  # characters of a name that an error repeats


LOAD_FAILED = "the folders could not be read at"
"""How the warning of a failed load begins."""


class SweeplensError(Exception):
    """The base class of all errors that sweeplens raises on purpose."""


class ConfigError(SweeplensError):
    """A setting that cannot be used; the message names the field and the remedy."""


class InputError(SweeplensError, ValueError):
    """An argument that cannot be used; the message says what to pass instead."""


class UnknownNameError(InputError):
    """A name that does not exist, with the nearest names that do."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], *, hint: str = "", meaning: str = "") -> UnknownNameError:
        """Builds the message: ``No metric 'val_acc'. Nearest: 'val/acc'. list_metrics shows all 14.``

        ``meaning``: the entry of `near_names.MEANINGS` with the words of other tools.
        """
        near = nearest(name, known, meaning=meaning)
        if len(name) > _SHOWN:
            name = f"{name[:_SHOWN]}..."
        offer = f" Nearest: {', '.join(repr(n) for n in near)}." if near else ""
        return cls(f"No {kind} {name!r}.{offer}{' ' + hint if hint else ''}")


class QuotesError(UnknownNameError):
    """A condition whose names or texts stand in wrong quotes or in none. The message ends with the condition as it was meant."""

    condition = ""
    corrected = ""

    @classmethod
    def corrects(cls, reason: str, condition: str, corrected: str) -> QuotesError:
        """Builds the message: ``No column 'optim.lr': ... in double quotes. Write: "optim.lr" > 0.01``"""
        error = cls(f"{reason}. Write: {corrected}")
        error.condition, error.corrected = condition, corrected
        return error


class AmbiguousGoalError(InputError):
    """Whether lower or higher is better is not known; the message says how to set it."""


class CursorError(InputError):
    """A cursor that is invalid, or whose data have changed."""


class RootError(SweeplensError, FileNotFoundError):
    """A root folder that is missing, cannot be read, or has no files of a known format."""


class PlaceError(RootError):
    """Another place (a bucket, a server, an archive) that cannot be reached or read; the message says what to check."""


class FormatError(SweeplensError):
    """A file that does not follow its format; it becomes a problem of that file."""


class SourceLimitError(FormatError):
    """A source exceeds a limit on size, length or time (`source_limits`); it becomes a problem of that source."""


class RefusedFileError(SweeplensError, OSError):
    """A path that leads outside the roots, or not to a regular file; it is treated as a file that cannot be opened."""


class StoreError(SweeplensError):
    """The store cannot be read or written."""


class EngineError(SweeplensError):
    """A cluster cannot answer; the message says why and what to do."""


class RenderError(SweeplensError):
    """A chart cannot be drawn on this machine; the message says what is missing and how to get it."""


class MissingExtraError(SweeplensError, ImportError):
    """A package that comes with an extra is not installed; the message says which command installs it."""


class LimitError(SweeplensError):
    """A limit on time, memory or size was reached; the message says how to narrow the question."""
