"""What a store keeps, written as files: points by block, the small tables whole; and files that are no longer needed swept."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl
import polars.selectors as cs
from msgspec import Struct
from msgspec.structs import replace

from sweeplens.errors import StoreError
from sweeplens.frames.schemas import RUN_COLUMNS
from sweeplens.store.backends.backend import HeadMovedError, HeadStamp, StoreBackend, TableFile
from sweeplens.store.blocks import STORED_POINTS, Block, FileBlock, FrameBlock, scan
from sweeplens.store.checksums import sum_of
from sweeplens.store.delta_tables import commit_table
from sweeplens.store.head import Head, write_head
from sweeplens.store.names import fresh_name, is_own_name
from sweeplens.store.within import open_file

__all__ = ["StoreContents", "as_block", "sweep", "write_points", "write_state"]

_ARROW_NOTE = b"ARROW:schema"
ROW_GROUP = 65_536
SMALL_ROWS = 250_000  # files below are merged with their neighbours when these are no larger than so many times
_TIER = 4
_GRACE = {"points": 3600.0}  # seconds for which a file that is no longer named stays for those who still read it
_SHORT_GRACE = 60.0
_ORPHAN = 3600.0


class StoreContents(Struct, frozen=True):
    """What is written, whole."""

    readers: Mapping[str, int]
    roots: Sequence[str]
    blocks: Sequence[Block]
    series: pl.DataFrame
    runs: pl.DataFrame
    ledger: pl.DataFrame
    walk: bytes
    data_version: str
    young: Sequence[tuple[str, str]]


def as_block(place: StoreBackend, name: TableFile) -> FileBlock:
    """A file of points as a block."""
    return FileBlock(
        place.locate(name.path),
        name.rows,
        name.size,
        name.low,
        name.high,
        name.checksum,
        name.etag,
        options=place.scan_options,
    )


def write_points(place: StoreBackend, points: pl.DataFrame, *, ordered: bool = False) -> TableFile:
    """One file of points, sorted by metric, run and position so that filters skip what they do not want."""
    with _or_nothing(place) as made, place.desk() as desk:
        return _write_points(place, desk, points, made, ordered=ordered)


def _write_points(
    place: StoreBackend, desk: Path, points: pl.DataFrame, made: list[str], *, ordered: bool = False
) -> TableFile:
    if not ordered:
        points = points.sort("metric", "run_id", "seq")
    name = _made(place, desk, made, "points", ".parquet")
    known = [c for c in ("run_id", "metric") if points.schema[c] == pl.Enum]
    columns = [
        c for c in STORED_POINTS if points[c].null_count() < points.height
    ]  # one that is all null is not written
    stored = points.lazy().select(pl.col(c) if c in known else pl.col(c).cast(STORED_POINTS[c]) for c in columns)
    stored.sink_parquet(desk / name, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
    if known:
        _as_text(desk / name)
    low, high = points.select(pl.col("run_id").min(), pl.col("run_id").max().alias("high")).row(0)
    file = replace(_described(desk, name, points.height), low=low, high=high)
    return replace(file, etag=place.take_in(desk, name))


def _as_text(path: Path) -> None:
    """Names written from Enums are text with a dictionary, as any text; only Arrow's note in the footer says Enum.

    Without the note every engine reads text; writing Enums takes half the time of writing the same words.
    """
    with path.open("r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        begin = stream.seek(-8 - length, os.SEEK_END)
        stream.seek(begin + stream.read(length).index(_ARROW_NOTE))
        stream.write(_ARROW_NOTE.lower())


def write_state(
    place: StoreBackend, state: StoreContents, before: Head | None, stamp: HeadStamp | None
) -> tuple[Head, HeadStamp, list[FileBlock]]:
    """Write every file that the new HEAD names, commit the tables, then replace the HEAD of this stamp; all or nothing."""
    with _or_nothing(place) as made, place.desk() as desk:
        blocks = _written_blocks(place, desk, state.blocks, made)
        small = {"series": state.series, "runs": _plain_runs(state.runs), "ledger": state.ledger}
        points = [_named_again(place, block) for block in blocks]
        tables = {"points": points} | {name: [_write(place, desk, name, frame, made)] for name, frame in small.items()}
        view, walk = _write(place, desk, "state", state.runs, made), _write_walk(place, desk, state.walk, made)
        files = [*(tables[table][0] for table in small), view, walk]
        place.each(partial(place.take_in, desk), [file.path for file in files])
        schemas = {"points": STORED_POINTS} | {name: frame.schema for name, frame in small.items()}
        commits = place.each(lambda name: (name, commit_table(place, name, tables[name], schemas[name])), tables)
        head = Head(
            readers=dict(state.readers), roots=list(state.roots), tables=tables, versions=dict(commits), walk=walk, view=view,
            data_version=state.data_version, young=[list(k) for k in state.young], retired={},
        )  # fmt: skip
        head.retired.update(_retired(before, head))
        return (*write_head(place, head, stamp), blocks)


@contextlib.contextmanager
def _or_nothing(place: StoreBackend) -> Generator[list[str]]:
    """A list for the names of files that are being written; they are removed where not all could be.

    Not where somebody else wrote meanwhile: Delta's log may name them until the next commit, after which they are swept.
    """
    made: list[str] = []
    try:
        yield made
    except HeadMovedError:
        raise
    except (OSError, pl.exceptions.PolarsError, StoreError):
        place.discard(made)
        raise


def _made(place: StoreBackend, desk: Path, made: list[str], folder: str, ending: str) -> str:
    """The name of a new file, which is there already, empty, so that whoever fills it does not decide who may read it."""
    made.append(fresh_name(folder, ending))
    os.close(open_file(str(desk), made[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, place.file_mode))
    return made[-1]


def _described(desk: Path, name: str, rows: int) -> TableFile:
    """A file that was written, with what tells later whether it still is as it is now."""
    with (desk / name).open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        return TableFile(name, rows, size, sum_of(stream))


def _named_again(place: StoreBackend, block: FileBlock) -> TableFile:
    name = block.path[len(place.address) + 1 :]
    return TableFile(name, block.rows, block.size, block.checksum, block.low, block.high, block.etag)


def _written_blocks(place: StoreBackend, desk: Path, blocks: Sequence[Block], made: list[str]) -> list[FileBlock]:
    """The blocks as files: frames are written, dropped runs leave, small neighbours become one."""
    groups: list[list[Block]] = []
    for block in blocks:
        groups.append([block])
        while len(groups) > 1 and _belong_together(groups[-2], groups[-1]):
            groups[-2:] = [[*groups[-2], *groups[-1]]]
    kept: list[FileBlock] = []
    for group in groups:
        first = group[0]
        if len(group) == 1 and isinstance(first, FileBlock) and not first.dropped:
            kept.append(first)
            continue
        points = scan(group).collect()
        if points.height:
            kept.append(as_block(place, _write_points(place, desk, points, made)))
    return kept


def _belong_together(older: Sequence[Block], newer: Sequence[Block]) -> bool:
    old, new = sum(map(_rows, older)), sum(map(_rows, newer))
    return old <= SMALL_ROWS and new <= SMALL_ROWS and old <= _TIER * new


def _rows(block: Block) -> int:
    return block.frame.height if isinstance(block, FrameBlock) else block.rows


def _write(place: StoreBackend, desk: Path, table: str, frame: pl.DataFrame, made: list[str]) -> TableFile:
    name = _made(place, desk, made, table, ".parquet")
    frame.write_parquet(desk / name, compression="zstd", compression_level=1)
    return _described(desk, name, frame.height)


def _write_walk(place: StoreBackend, desk: Path, walk: bytes, made: list[str]) -> TableFile:
    name = _made(place, desk, made, "state", ".walk")
    (desk / name).write_bytes(walk)
    return _described(desk, name, 0)


def _plain_runs(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs frame with columns that any engine can have: hyperparameters and metadata as JSON text."""
    fixed = [*RUN_COLUMNS, "touched_at"]
    metadata = [c for c in runs.columns if c.startswith("metadata.")]
    hyper = [c for c in runs.columns if c not in fixed and c not in metadata]
    plain = runs.with_columns(cs.categorical().cast(pl.String))
    return plain.select(*fixed, _json(hyper).alias("hyperparameters"), _json(metadata).alias("metadata"))


def _json(columns: Sequence[str]) -> pl.Expr:
    return pl.struct(columns).struct.json_encode() if columns else pl.lit("{}")


def _retired(before: Head | None, head: Head) -> dict[str, float]:
    """Files of earlier versions with the time at which they were last named."""
    if before is None:
        return {}
    named = set(head.files)
    left = {name: time.time() for name in before.files if name not in named}
    return {**{n: t for n, t in before.retired.items() if n not in named}, **left}


def sweep(place: StoreBackend, head: Head) -> None:
    """Remove files that nobody reads any more: retired ones after their time, and what killed processes left."""
    now = time.time()
    known = {*head.files, *head.retired}
    retired = {n: since for n, since in head.retired.items() if is_own_name(n)}
    done = [n for n, since in retired.items() if now - since > _GRACE.get(n.split("/", 1)[0], _SHORT_GRACE)]
    orphans = [n for n, written in place.written() if n not in known and now - written > _ORPHAN]
    gone = place.remove([*done, *orphans])
    for name in gone.intersection(done):
        del head.retired[name]
