"""Points as blocks: frames in memory and Parquet files, oldest first. Blocks are immutable; dropped runs are filtered out.

Within a series, points of an older block were logged before those of a newer one. So only neighbours are merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.engines.protocol import PointFiles, StoredPoints
from sweeplens.frames.schemas import POINTS_SCHEMA, concat_points, empty_points

__all__ = ["STORED_POINTS", "Block", "FileBlock", "FrameBlock", "add_frame", "drop_runs", "scan", "stored_points"]

STORED_POINTS = pl.Schema({**POINTS_SCHEMA, "seq": pl.Int32()})
"""The columns in files: Delta Lake has no unsigned integers."""

_TIER = 4  # a block is merged into its older neighbour unless that is more than 4 times larger


class FrameBlock(Struct, frozen=True):
    """Points in memory."""

    frame: pl.DataFrame


class FileBlock(Struct, frozen=True):
    """Points in one Parquet file, sorted by metric, run and seq. ``low`` and ``high`` bound its run ids."""

    path: str  # absolute, or an object-store URL
    rows: int
    size: int
    low: str
    high: str
    checksum: int = 0
    etag: str = ""  # the object store's tag for this content
    dropped: frozenset[str] = field(default_factory=frozenset[str])  # runs whose points in this file no longer count
    options: Mapping[str, str | int] | None = None  # storage options for Polars


Block = FrameBlock | FileBlock


def scan(blocks: Sequence[Block]) -> pl.LazyFrame:
    """Returns the points of all blocks as a lazy frame, oldest block first."""
    parts: list[pl.LazyFrame] = []
    clean: list[FileBlock] = []
    for block in blocks:
        if isinstance(block, FileBlock) and not block.dropped:
            clean.append(block)
            continue
        _flush(clean, parts)
        if isinstance(block, FrameBlock):
            parts.append(block.frame.lazy())
        else:
            parts.append(scan_files([block]).filter(pl.col("run_id").is_in(list(block.dropped)).not_()))
    _flush(clean, parts)
    if not parts:
        return empty_points().lazy()
    return parts[0] if len(parts) == 1 else pl.concat(parts)


def stored_points(blocks: Sequence[Block]) -> StoredPoints:
    """Returns the same points as the files and frames that hold them."""
    by_dropped: dict[frozenset[str], list[str]] = {}
    for block in blocks:
        if isinstance(block, FileBlock):
            by_dropped.setdefault(block.dropped, []).append(block.path)
    files = tuple(PointFiles(tuple(paths), dropped) for dropped, paths in by_dropped.items())
    return StoredPoints(files, tuple(b.frame for b in blocks if isinstance(b, FrameBlock)))


def _flush(clean: list[FileBlock], parts: list[pl.LazyFrame]) -> None:
    if clean:
        parts.append(scan_files(clean))
        clean.clear()


def scan_files(files: Sequence[FileBlock]) -> pl.LazyFrame:
    """Returns the points of one store's files as a lazy frame. Filters on run, metric and step skip row groups."""
    options = dict(files[0].options) if files[0].options else None
    paths = [f.path for f in files]
    scanned = pl.scan_parquet(
        paths, schema=STORED_POINTS, glob=False, missing_columns="insert", storage_options=options, credential_provider=None
    )  # fmt: skip
    return scanned.with_columns(pl.col("seq").cast(pl.UInt32))


def drop_runs(blocks: Iterable[Block], runs: frozenset[str]) -> list[Block]:
    """Returns the blocks without these runs."""
    if not runs:
        return list(blocks)
    low, high = min(runs), max(runs)
    kept: list[Block] = []
    for block in blocks:
        if isinstance(block, FileBlock):
            apart = high < block.low or low > block.high
            kept.append(block if apart else replace(block, dropped=block.dropped | runs))
            continue
        frame = block.frame.filter(pl.col("run_id").is_in(list(runs)).not_())
        if frame.height:
            kept.append(block if frame.height == block.frame.height else FrameBlock(frame))
    return kept


def add_frame(blocks: Sequence[Block], frame: pl.DataFrame) -> list[Block]:
    """Adds a new frame to the blocks, merged with its neighbours so that blocks stay few."""
    kept = list(blocks)
    if not frame.height:
        return kept
    kept.append(FrameBlock(frame))
    while len(kept) > 1:
        older, newer = kept[-2], kept[-1]
        if not (isinstance(older, FrameBlock) and isinstance(newer, FrameBlock)):
            break
        if older.frame.height > _TIER * newer.frame.height:
            break
        kept[-2:] = [FrameBlock(concat_points([older.frame, newer.frame]).rechunk())]
    return kept
