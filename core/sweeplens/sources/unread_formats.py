"""Formats of training tools that sweeplens does not read: how a file is recognised, and how its data can be read.

unread_format(path)     -> the format of a file that no reader claims, by its path; None if it is not known
tracker_files(paths)    -> format -> files, for formats of trackers: runs are in them that no answer has
FORMATS                 -> all of them; `sweeplens doctor`, answers and their warnings take name and remedy from here
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

__all__ = ["FORMATS", "UnreadFormat", "tracker_files", "unread_format"]

_MAY_BE_TRACKER = re.compile(r"(?i)\.aim/")


class UnreadFormat(Struct, frozen=True):
    """A format. ``pattern`` is searched in the path below the root, with ``/``; ``remedy`` says what makes it readable."""

    name: str
    pattern: re.Pattern[str]
    remedy: str
    command: str = ""  # the remedy in full, where it is too long for an answer


def _format(name: str, pattern: str, remedy: str, command: str = "") -> UnreadFormat:
    return UnreadFormat(name, re.compile(pattern, re.IGNORECASE), remedy, command)


FORMATS = (
    _format(
        "an Aim repository",
        r"(?:^|/)\.aim/",
        "it is a RocksDB store, which only the `aim` package reads: `sweeplens doctor --files` prints a command that writes its"
        " series to CSV with that package; or log with TensorBoard as well",
        "beside a copy of it, where aim is installed: python -c \"import aim, csv; w = csv.writer(open('aim.csv', 'w'));"
        " w.writerow(['run', 'step', 'metric', 'value']); [w.writerow([r, s, '/'.join([*map(str,"
        " m.context.to_dict().values()), m.name]), v]) for r in aim.Repo('.').list_all_runs()"
        " for m in aim.Run(r, repo='.').metrics() for s, (v, *_) in m.data.items()]\"; aim.csv is then read",
    ),
    _format(
        "a pickle",
        r"\.(?:pkl|pickle|joblib|p)$",
        "it is never opened, since that runs its code: load it in Python and write `pandas.DataFrame(history)"
        ".to_csv('history.csv')` beside it",
    ),
    _format(
        "a MATLAB or HDF5 file",
        r"\.(?:mat|h5|hdf5|hdf)$",
        "write its series with `pandas.DataFrame(...).to_csv('history.csv')`",
    ),
    _format(
        "a DuckDB database",
        r"\.(?:duckdb|ddb)$",
        "export with Python: `duckdb.connect('FILE', read_only=True).sql(\"COPY metrics TO 'metrics.parquet'\")`: Parquet is read",
    ),
    _format(
        "an archive",
        r"\.(?:zip|tar|tgz|tbz2|txz|tzst|tar\.(?:gz|bz2|xz|zst)|7z|rar)$",
        "pass it as a root of its own (--root FILE: zip and tar), or unpack it below the root",
    ),
    _format(
        "a spreadsheet",
        r"\.(?:xlsx|xls|ods|numbers)$",
        "save it as CSV",
    ),
    _format(
        "a notebook",
        r"\.ipynb$",
        "what it printed is not read: write a log file, or save the output as text",
    ),
    _format(
        "an R data file",
        r"\.(?:rds|rda|rdata)$",
        "write it with `write.csv`",
    ),
)
"""In the order in which they are tried."""
_TRACKERS = frozenset(f.name for f in FORMATS[:1])


def unread_format(path: str) -> UnreadFormat | None:
    """Returns the format of a file that no reader claims, by its path."""
    plain = path.replace("\\", "/")
    return next((f for f in FORMATS if f.pattern.search(plain)), None)


def tracker_files(paths: Iterable[str]) -> dict[UnreadFormat, list[str]]:
    """Returns the files of trackers' formats by format, in the order of the paths."""
    found: dict[UnreadFormat, list[str]] = {}
    for path in paths:
        plain = path.replace("\\", "/")
        known = unread_format(plain) if _MAY_BE_TRACKER.search(plain) else None
        if known is not None and known.name in _TRACKERS:
            found.setdefault(known, []).append(path)
    return found
