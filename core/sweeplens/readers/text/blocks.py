"""The lines of a part of a text log by their shapes: from a compiled scan, or from Polars where there is none.

block_of(text)        -> the block of a text in UTF-8; both kinds of block give the same result
block.kinds           -> the shapes in the order of the text: ``shape``, ``text`` and ``line`` of the first line, ``count`` of lines
shapes_of(block)      -> the same as a frame, with an ``id``
block.groups(of, n)   -> the lines of each of ``n`` groups; ``of`` is the group of each shape, -1 for none
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from sweeplens.native.line_scan import LineScan
from sweeplens.readers.text.lines import HOLE, NUMBERS, line_frame, shape_of
from sweeplens.readers.text.tokens import ListedTokens, Rows, ScannedTokens, TokenColumns

__all__ = ["LineGroup", "LineKind", "TextBlock", "block_of", "listed_block", "shapes_of"]

_MOST_FAST = 1 << 15  # groups: numpy sorts small integers by their digits
_FEW_SHAPES = 64  # Python finds the numbers in so few lines sooner than Polars


class LineGroup(Struct):
    """Lines whose shapes have the same template."""

    lines: pl.Series  # their numbers
    shapes: NDArray[np.integer]  # the shape of each
    tokens: TokenColumns


class LineKind(Struct, frozen=True):
    """A shape, its first line, and how many lines have it."""

    shape: str
    text: str
    line: int
    count: int


class TextBlock(Protocol):
    """The lines of a text that may hold a value."""

    kinds: list[LineKind]
    ends: int  # of lines in the text

    def groups(self, of: Rows, count: int) -> list[LineGroup]:
        """Returns the lines of each group of shapes."""
        ...


def shapes_of(block: TextBlock) -> pl.DataFrame:
    """Returns the shapes of a block as a frame, with an ``id``."""
    kinds = {"shape": pl.String, "text": pl.String, "line": pl.Int64, "count": pl.Int64}
    rows = [(k.shape, k.text, k.line, k.count) for k in block.kinds]
    return pl.DataFrame(rows, schema=kinds, orient="row").with_row_index("id")


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
    listed = [LineKind(*row) for row in kinds.select("shape", "text", "line", "count").iter_rows()]
    return _ListedBlock(listed, text.count(b"\n"), frame, ids.to_numpy().astype(np.int64))


class _ListedBlock(Struct):
    kinds: list[LineKind]
    ends: int
    frame: pl.DataFrame
    ids: Rows

    def groups(self, of: Rows, count: int) -> list[LineGroup]:
        """Returns the lines of each group of shapes."""
        found: list[LineGroup] = []
        for rows in _rows_of(of, self.ids, count):
            part = self.frame[rows]
            tokens = ListedTokens(part["text"].str.extract_all(NUMBERS))
            found.append(LineGroup(part["line"], self.ids[rows], tokens))
        return found


class _ScannedBlock(Struct):
    kinds: list[LineKind]
    ends: int
    scan: LineScan

    @classmethod
    def of(cls, scan: LineScan) -> _ScannedBlock | None:
        """Returns the block of a scan; None if its tokens are not those of Python."""
        first = scan.first_lines()
        texts = [scan.text[b:e].decode() for b, e in zip(first.begins.tolist(), first.ends.tolist(), strict=True)]
        shapes = list(map(shape_of, texts)) if len(texts) <= _FEW_SHAPES else _shapes_by_polars(texts)
        if [shape.count(HOLE) for shape in shapes] != first.tokens.tolist():
            return None
        rows = zip(shapes, texts, first.lines.tolist(), first.counts.tolist(), strict=True)
        return cls([LineKind(*row) for row in rows], scan.ends, scan)

    def groups(self, of: Rows, count: int) -> list[LineGroup]:
        """Returns the lines of each group of shapes."""
        scan = self.scan
        if count == 1 and not of.any():  # all lines are in one group
            return [LineGroup(pl.Series(scan.numbers), scan.shapes, ScannedTokens(scan, scan.firsts))]
        return [
            LineGroup(pl.Series(scan.numbers[rows]), scan.shapes[rows], ScannedTokens(scan, scan.firsts[rows]))
            for rows in _rows_of(of, scan.shapes, count)
        ]


def _shapes_by_polars(texts: list[str]) -> list[str]:
    return pl.Series(texts, dtype=pl.String).str.replace_all(NUMBERS, HOLE).to_list()


def _rows_of(of: Rows, shapes: NDArray[np.integer], count: int) -> list[Rows]:
    """Returns the rows whose shape is in each group."""
    groups = of.astype(np.int16)[shapes] if count < _MOST_FAST else of[shapes]
    if count == 1:
        return [np.flatnonzero(groups == 0)]
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(count + 1))
    return [order[ends[i] : ends[i + 1]] for i in range(count)]
