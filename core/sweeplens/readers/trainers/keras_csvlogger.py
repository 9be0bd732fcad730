"""Reads tables of Keras' CSVLogger: one row for each epoch, metrics in alphabetical order, any separator, no config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.delimited.cells import TableHeader, header_of, number, sample
from sweeplens.readers.decoding.delimited.plan import are_splits, has_plain_name
from sweeplens.readers.decoding.delimited.table import ColumnPlan, read_header, read_table
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Reading, Resume, RunRecord, Source

__all__ = ["KerasCsvLogger"]

_SUFFIXES = (".csv", ".log", ".tsv", ".txt")
_AXIS = "epoch"
_BOM = b"\xef\xbb\xbf"


class KerasCsvLogger:
    """Tables of Keras.

    Producer: Keras and tf.keras ``CSVLogger``
    Files: ``*.csv``, ``*.log`` with whole, rising numbers in the first column ``epoch``, no other counter, and the metrics in alphabetical order; a config file beside them, if there is one
    Reads: every number at its epoch, with any separator; ``NA`` means that the epoch has no value
    Leaves: lists, which are counted
    """  # noqa: E501 - a line of docs/formats.md each

    name = "keras_csvlogger"
    version = 3

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files with the logger's header and rows."""
        mine = [n for n in folder.free(*_SUFFIXES) if _is_log(folder.head(n))]
        if are_splits(mine):  # splits of one run, which this logger never writes
            return
        config = config_files(folder) if mine else ()
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1 and (bool(config) or has_plain_name(name)))

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the new rows."""
        path = source.files[0].path
        header = read_header(path, separators=_separators(path))
        if header is None:
            raise FormatError(f"{path} has no header")
        table = read_table(path, header, ColumnPlan(axis=_AXIS), source.relative, resume)
        records, problems = described_by(source, [RunRecord(source.relative, non_scalar=table.non_scalar)])
        return Reading(records, table.points, (*table.problems, *problems), table.resume)


def _is_log(head: bytes) -> bool:
    header = _header(head)
    if header is None or header.names[0] != _AXIS:
        return False
    rest = header.names[1:]
    rows = sample(head, header)
    plain = list(rest) == sorted(rest) and all(rest) and not any(label_of(n) for n in rest)
    return plain and bool(rows) and all(_is_row(r) for r in rows[:5]) and _counts_epochs(rows)


def _counts_epochs(rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether the epochs are whole and mostly rise; they go back where another training was appended."""
    epochs = [number(r.get(_AXIS, "")) for r in rows]
    whole = all(e is not None and e.is_integer() for e in epochs)
    back = whole and sum(b <= a for a, b in pairwise(cast("list[float]", epochs)))
    return whole and back <= max(1, len(epochs) // 8)


def _is_row(row: Mapping[str, str]) -> bool:
    """Whether a row is one of the logger: an epoch and numbers; an array is written in brackets."""
    others = [v for k, v in row.items() if k != _AXIS]
    return number(row.get(_AXIS, "")) is not None and all(number(v) is not None or "[" in v for v in others)


def _header(head: bytes) -> TableHeader | None:
    text = head.removeprefix(_BOM)
    after = text[len(_AXIS) : len(_AXIS) + 1]
    known = text.startswith(_AXIS.encode()) and after.strip(b"\r\n_")
    return header_of(head, after.decode("ascii", "ignore") or ",") if known else None


def _separators(path: str) -> str:
    """Returns the character after the first name."""
    from sweeplens.readers.decoding.compression import head

    found = _header(head(path, 64))
    return found.separator if found else ","
