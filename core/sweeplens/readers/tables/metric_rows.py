"""Tables with one row a metric and one column a run: ``metric,resnet18,resnet50``, as papers and people lay them out.

The rule. The first column is named ``metric`` (or has no name), most of its cells are names of known metrics, and every other
cell of these rows is a number. Rows named like settings (``lr``, ``batch_size``) are hyperparameters. Columns named after splits
(``train``, ``val``) are one run; a table of statistics (``mean``, ``std``), of epochs or of folds is none of this kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from sweeplens.errors import FormatError
from sweeplens.frames.goals import known_goal
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.delimited.cells import TableHeader, absent, cell_number, header_of, records
from sweeplens.readers.decoding.delimited.own_tables import is_own_table
from sweeplens.readers.decoding.delimited.plan import is_split
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES
from sweeplens.readers.decoding.values import PointBuffer
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source
from sweeplens.readers.tables.run_table import is_setting, setting_in

__all__ = ["MetricRows"]

_FIRST = frozenset({"", "metric", "metrics", "measure", "score", "name", "unnamed: 0", "index"})
_NO_RUNS = re.compile(
    r"(?i)[\d.]*|(?:epoch|step|iter(?:ation)?|fold|round|split)[ _-]?\d*|mean|avg|average|std|sem|min|max|median|sum|count|n|var"
    r"|value|best|last|final|total|unit|goal|target|weight|description|precision|recall|f1(?:[ _-]?score)?|support|q\d+|p\d+|ci.*"
)
_LEAST = 2  # metrics


class _MetricTable(Struct, frozen=True):
    header: TableHeader
    metrics: Mapping[str, Sequence[str]]  # name -> its cells
    settings: Mapping[str, Sequence[str]]


class MetricRows:
    """Tables in which each row is a metric and each column a run.

    Producer: people, papers, ``DataFrame.T.to_csv``
    Files: ``*.csv``, ``*.tsv`` whose first column holds names of metrics, and each other column the numbers of a run
    Reads: each column as the run ``file/column`` at step 0; rows named like settings as hyperparameters; columns ``train``, ``val``, ``test`` as one run with prefixes
    Leaves: tables of statistics, folds or epochs
    """  # noqa: E501 - a line of docs/formats.md each

    name = "metric_rows"
    version = 1

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims each such table."""
        for name in folder.free(".csv", ".tsv"):
            head = folder.head(name)
            if name not in SETTINGS_NAMES and not is_own_table(head) and _table_in(head) is not None:
                yield Claim((name,), is_folder=False)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole table."""
        path = source.files[0].path
        table = _table_in(compression.read_plain(path))
        if table is None:
            raise FormatError(f"{path} is no table of metrics by run any more")
        runs, points = dict[str, RunRecord](), PointBuffer()
        columns, separator = table.header.names[1:], table.header.separator
        splits = all(map(is_split, columns))
        for at, column in enumerate(columns, 1):
            run = source.relative if splits else f"{source.relative}/{column}"
            hyperparameters = {n: setting_in(c[at], separator) for n, c in table.settings.items() if not absent(c[at])}
            name, group = ("", "") if splits else (column, source.relative)
            runs[run] = RunRecord(run, name=name, group=group, status="finished", hyperparameters=hyperparameters)
            for metric, cells in table.metrics.items():
                value = cell_number(cells[at], separator)
                if value is not None:
                    points.add(run, f"{column}/{metric}" if splits else metric, 0, value)
        return Reading(tuple(runs.values()), points.frame())


def _table_in(head: bytes) -> _MetricTable | None:
    """Returns the metrics and settings of such a table; None for any other."""
    header = header_of(head)
    if header is None or len(header.names) < 3 or header.names[0].lower() not in _FIRST:
        return None
    if any(not n or _NO_RUNS.fullmatch(n) for n in header.names[1:]):
        return None
    body = head[header.start :]
    rows = [[c.strip() for c in r.cells] for r in records(body, header.separator, header.lines + 1)]
    if rows and not body.endswith(b"\n") and len(rows[-1]) < len(header.names):
        rows.pop()  # where the head of a file ends
    if any(len(r) != len(header.names) or not r[0] for r in rows) or len({r[0] for r in rows}) < len(rows):
        return None
    settings = {r[0]: r for r in rows if is_setting(r[0])}
    metrics = {r[0]: r for r in rows if r[0] not in settings}
    numbers = all(absent(c) or cell_number(c, header.separator) is not None for r in metrics.values() for c in r[1:])
    known = sum(known_goal(n) != "unknown" for n in metrics)
    return (
        _MetricTable(header, metrics, settings) if numbers and known >= _LEAST and 2 * known >= len(metrics) else None
    )
