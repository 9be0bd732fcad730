"""Reads tables in files of columns (Parquet, Feather, Arrow) by the rules of rows of JSON: the axis is chosen from all rows."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from sweeplens.errors import FormatError, SourceLimitError
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.axis_names import label_of
from sweeplens.readers.decoding.column_bounds import MOST_TEXT_BYTES, check_columns
from sweeplens.readers.decoding.sidecars import config_files
from sweeplens.readers.decoding.values import empty_reading_points
from sweeplens.readers.json.history import read_rows
from sweeplens.readers.json.steps import described_by
from sweeplens.readers.protocol import Claim, Folder, Problem, Reading, Resume, Source

__all__ = ["ColumnFiles"]

_SUFFIXES = (".parquet", ".pq", ".feather", ".arrow", ".ipc")
_MAGIC = (b"PAR1", b"ARROW1", b"FEA1")
_AXIS = re.compile(
    rb"(?i)(?:^|[^a-z])_?(?:global_?|train_?|current_?)?(?:steps?|epochs?|iter(?:ation)?s?|updates?|timesteps?)(?![a-z])"
)
_VALUES = re.compile(rb"(?i)loss|acc|reward|return|metric|value|score|error|rmse|mae|f1|auc|bleu|perplexity|ppl|lr")
_MOST_BYTES = 64 << 20
_MOST_ROWS = 2_000_000


class ColumnFiles:
    """Tables of metrics in Parquet, Feather or Arrow.

    Producer: pandas, Polars, PyArrow, DuckDB (``to_parquet``, ``to_feather``, ``COPY``)
    Files: ``*.parquet``, ``*.feather``, ``*.arrow`` up to 64 MB with a column of steps and columns of numbers; a config file beside them
    Reads: rows as in ``json_steps``: wide tables, tables of one value a row (``metric``, ``value``), run columns, splits, times
    Leaves: text and lists, which are counted by name; data sets, which have no column that counts steps
    """  # noqa: E501 - a line of docs/formats.md each

    name = "column_files"
    version = 2

    def claim(self, folder: Folder) -> Iterable[Claim]:
        """Claims files that name a column of steps and one of a measure."""
        mine = [n for n in folder.free(*_SUFFIXES) if _may_be_log(folder, n)]
        config = config_files(folder) if mine else ()
        for name in mine:
            yield Claim((name, *config), is_folder=len(mine) == 1)

    def read(self, source: Source, resume: Resume | None) -> Reading:
        """Reads the whole table: such files are replaced, not appended to."""
        path = source.files[0].path
        table = _table(path)
        axes = [c for c, kind in table.schema.items() if label_of(c) and kind.is_numeric()]
        numbers = [c for c, kind in table.schema.items() if kind.is_numeric() and c not in axes]
        if not axes or not numbers:
            reason = "a table without a column that counts steps: not read as a log"
            return Reading((), empty_reading_points(), (Problem(path, reason, kind="warning"),))
        records, points = read_rows(source, _rows(table), exact=False)
        runs, problems = described_by(source, records)
        return Reading(runs, points, problems)


def _may_be_log(folder: Folder, name: str) -> bool:
    if not folder.head(name).startswith(_MAGIC):
        return False
    sample = folder.sample(name)  # the names of Parquet's columns stand at its end
    return bool(_AXIS.search(sample) and _VALUES.search(sample))


def _table(path: str) -> pl.DataFrame:
    data = compression.read_plain(path)
    if len(data) > _MOST_BYTES:
        raise SourceLimitError(f"a table of more than {_MOST_BYTES >> 20} MB: not read")
    read = pl.read_parquet if data.startswith(b"PAR1") else pl.read_ipc
    try:
        check_columns(data)
        table = read(io.BytesIO(data))
    except SourceLimitError:
        raise
    except (FormatError, pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error
    if table.height > _MOST_ROWS:
        raise SourceLimitError(f"a table of {table.height:,} rows, at most {_MOST_ROWS:,} are read")
    words = [c for c in table.get_columns() if isinstance(c.dtype, pl.String | pl.Categorical | pl.Enum)]
    text = sum(int(c.cast(pl.String).str.len_bytes().sum()) for c in words)
    if text > MOST_TEXT_BYTES:
        raise SourceLimitError(f"a table with {text >> 20:,} MB of text, at most {MOST_TEXT_BYTES >> 20} MB are read")
    return table.drop("__index_level_0__", strict=False)


def _rows(table: pl.DataFrame) -> list[Any]:
    """The rows without their empty cells: NaN is how pandas writes a cell that has no value beside others that have one."""
    sparse = {c for c, kind in table.schema.items() if kind.is_float() and _is_sparse(table[c])}
    return [
        {k: v for k, v in row.items() if v is not None and not (k in sparse and isinstance(v, float) and math.isnan(v))}
        for row in table.to_dicts()
    ]


def _is_sparse(values: pl.Series) -> bool:
    """Whether most of a column is NaN, and some is not: a metric that is logged in some rows only."""
    missing = int(values.is_nan().sum())
    return 2 * missing > values.len() > missing
