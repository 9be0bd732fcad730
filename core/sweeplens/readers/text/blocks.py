"""The lines of a part of a text log by their shapes: from a compiled scan, or from Polars where there is none.

block_of(text)        -> the block of a text in UTF-8; both kinds of block give the same result
block.shapes()        -> the shapes: ``id``, ``shape``, ``text`` and ``line`` of the first line, ``count`` of lines
block.groups(of, n)   -> the lines of each of ``n`` groups; ``of`` is the group of each shape, -1 for none
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.native.line_scan import LineScan
from sweeplens.readers.text.lines import HOLE, NUMBERS, line_frame
from sweeplens.readers.text.tokens import ListedTokens, Rows, ScannedTokens, TokenColumns

__all__ = ["LineGroup", "TextBlock", "block_of", "listed_block"]


class LineGroup(Struct):
    """Lines whose shapes have the same template."""

    lines: pl.Series  # their numbers
    shapes: Rows  # the shape of each
    tokens: TokenColumns


class TextBlock(Protocol):
    """The lines of a text that may hold a value."""

    def shapes(self) -> pl.DataFrame:
        """Returns the shapes in the order of the text."""
        ...

    def groups(self, of: Rows, count: int) -> list[LineGroup]:
        """Returns the lines of each group of shapes."""
        ...


def block_of(text: bytes) -> TextBlock:
    """Returns the block of a text."""
    scan = LineScan.of(text)
    found = _ScannedBlock.of(scan) if scan is not None else None
    return found if found is not None else listed_block(text)


def listed_block(text: bytes) -> TextBlock:
    """Returns the block of a text by Polars."""
    frame = line_frame(text.decode())
    kinds = frame.group_by("shape", maintain_order=True).agg(
        pl.col("text").first(), pl.col("line").first(), pl.len().alias("count")
    )
    kinds = kinds.with_row_index("id")
    ids = frame.join(kinds.select("shape", "id"), on="shape", how="left", maintain_order="left")["id"]
    return _ListedBlock(frame, kinds, ids.to_numpy().astype(np.int64))


class _ListedBlock(Struct):
    frame: pl.DataFrame
    kinds: pl.DataFrame
    ids: Rows

    def shapes(self) -> pl.DataFrame:
        """Returns the shapes in the order of the text."""
        return self.kinds

    def groups(self, of: Rows, count: int) -> list[LineGroup]:
        """Returns the lines of each group of shapes."""
        found: list[LineGroup] = []
        for rows in _rows_of(of, self.ids, count):
            part = self.frame[rows]
            tokens = ListedTokens(part["text"].str.extract_all(NUMBERS))
            found.append(LineGroup(part["line"], self.ids[rows], tokens))
        return found


class _ScannedBlock(Struct):
    scan: LineScan
    kinds: pl.DataFrame

    @classmethod
    def of(cls, scan: LineScan) -> _ScannedBlock | None:
        """Returns the block of a scan; None if its tokens are not those of Polars."""
        first = scan.first_lines()
        texts = [scan.text[b:e].decode() for b, e in zip(first.begins.tolist(), first.ends.tolist(), strict=True)]
        kinds = pl.DataFrame(
            {"text": texts, "line": first.lines, "count": first.counts}, schema_overrides={"text": pl.String}
        )
        kinds = kinds.with_columns(shape=pl.col("text").str.replace_all(NUMBERS, HOLE)).with_row_index("id")
        holes = kinds["shape"].str.count_matches(HOLE, literal=True).to_numpy()
        return cls(scan, kinds) if np.array_equal(holes, first.tokens) else None

    def shapes(self) -> pl.DataFrame:
        """Returns the shapes in the order of the text."""
        return self.kinds

    def groups(self, of: Rows, count: int) -> list[LineGroup]:
        """Returns the lines of each group of shapes."""
        scan = self.scan
        return [
            LineGroup(
                pl.Series(scan.numbers[rows]),
                scan.shapes[rows].astype(np.int64),
                ScannedTokens(scan, scan.firsts[rows]),
            )
            for rows in _rows_of(of, scan.shapes, count)
        ]


def _rows_of(of: Rows, shapes: NDArray[np.integer], count: int) -> list[Rows]:
    """Returns the rows whose shape is in each group."""
    groups = of[shapes]
    if count == 1:
        return [np.flatnonzero(groups == 0)]
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(count + 1))
    return [order[ends[i] : ends[i + 1]] for i in range(count)]
