"""Writes a store's content as files, points by block and small tables whole, and deletes files that are no longer needed."""

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
from sweeplens.store.names import fresh_name, is_kept_state, is_own_name, mark_kept_by, name_of_state
from sweeplens.store.runs_frame import TIMES_OF_FILES
from sweeplens.store.within import open_file

__all__ = ["StoreContents", "as_block", "keep_state", "sweep", "write_points", "write_state"]

_ARROW_NOTE = b"ARROW:schema"
ROW_GROUP = 65_536
SMALL_ROWS = 250_000  # smaller files are merged with newer neighbours that are at least 1 / _TIER of their size
_TIER = 4
_GRACE = {"points": 3600.0}  # seconds before a file that HEAD no longer names is deleted: readers may still use it
_SHORT_GRACE = 60.0
_ORPHAN = 3600.0
_INGEST_SECONDS = 86400.0  # how long the files of an ingest on a cluster are spared that has not ended
_STATE_SECONDS = 60 * 86400.0  # how long the state of a cursor is kept


class StoreContents(Struct, frozen=True):
    """The complete state that is written."""

    readers: Mapping[str, int]
    roots: Sequence[str]
    blocks: Sequence[Block]
    series: pl.DataFrame
    runs: pl.DataFrame
    ledger: pl.DataFrame
    walk: bytes
    data_version: str
    young: Sequence[tuple[str, str]]


def as_block(backend: StoreBackend, name: TableFile) -> FileBlock:
    """Returns a file of points as a block."""
    return FileBlock(
        backend.locate(name.path),
        name.rows,
        name.size,
        name.low,
        name.high,
        name.checksum,
        name.etag,
        options=backend.scan_options,
    )


def write_points(backend: StoreBackend, points: pl.DataFrame, *, ordered: bool = False, mark: str = "") -> TableFile:
    """Writes one file of points, sorted by metric, run and position so that filters can skip row groups.

    ``mark``: the beginning of its name, as in `fresh_name`.
    """
    with _removed_on_error(backend) as made, backend.staging() as staging:
        return _write_points(backend, staging, points, made, ordered=ordered, mark=mark)


def _write_points(
    backend: StoreBackend, staging: Path, points: pl.DataFrame, made: list[str], *, ordered: bool = False, mark: str = ""
) -> TableFile:  # fmt: skip
    if not ordered:
        points = points.sort("metric", "run_id", "seq")
    name = _new_file(backend, staging, made, "points", ".parquet", mark)
    known = [c for c in ("run_id", "metric") if points.schema[c] == pl.Enum]
    columns = [
        c for c in STORED_POINTS if points[c].null_count() < points.height
    ]  # a column of nulls only is not written
    stored = points.lazy().select(pl.col(c) if c in known else pl.col(c).cast(STORED_POINTS[c]) for c in columns)
    stored.sink_parquet(staging / name, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
    if known:
        _as_text(staging / name)
    low, high = points.select(pl.col("run_id").min(), pl.col("run_id").max().alias("high")).row(0)
    file = replace(_described(staging, name, points.height), low=low, high=high)
    return replace(file, etag=backend.add_file(staging, name))


def _as_text(path: Path) -> None:
    """Removes Arrow's note in the footer that says that names are Enums. The data are dictionary-encoded text as usual.

    Without the note every engine reads text. Writing Enums takes half the time of writing text.
    """
    with path.open("r+b") as stream:
        stream.seek(-8, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        begin = stream.seek(-8 - length, os.SEEK_END)
        stream.seek(begin + stream.read(length).index(_ARROW_NOTE))
        stream.write(_ARROW_NOTE.lower())


def write_state(
    backend: StoreBackend, state: StoreContents, before: Head | None, stamp: HeadStamp | None
) -> tuple[Head, HeadStamp, list[FileBlock]]:
    """Writes every file that the new HEAD names, commits the tables, then replaces the HEAD with this stamp; all or nothing."""
    with _removed_on_error(backend) as made, backend.staging() as staging:
        blocks = _written_blocks(backend, staging, state.blocks, made)
        small = {"series": state.series, "runs": _plain_runs(state.runs), "ledger": state.ledger}
        points = [_table_file(backend, block) for block in blocks]
        tables = {"points": points} | {
            name: [_write(backend, staging, name, frame, made)] for name, frame in small.items()
        }
        view, walk = (
            _write(backend, staging, "state", state.runs, made),
            _write_walk(backend, staging, state.walk, made),
        )
        files = [*(tables[table][0] for table in small), view, walk]
        backend.each(partial(backend.add_file, staging), [file.path for file in files])
        schemas = {"points": STORED_POINTS} | {name: frame.schema for name, frame in small.items()}
        commits = backend.each(lambda name: (name, commit_table(backend, name, tables[name], schemas[name])), tables)
        head = Head(
            readers=dict(state.readers), roots=list(state.roots), tables=tables, versions=dict(commits), walk=walk, view=view,
            data_version=state.data_version, young=[list(k) for k in state.young], retired={},
        )  # fmt: skip
        head.retired.update(_retired(before, head))
        return (*write_head(backend, head, stamp), blocks)


@contextlib.contextmanager
def _removed_on_error(backend: StoreBackend) -> Generator[list[str]]:
    """Yields a list for the names of files that are written. If writing fails, these files are removed.

    They stay if another process wrote meanwhile: Delta's log may name them until its next commit; `sweep` removes them later.
    """
    made: list[str] = []
    try:
        yield made
    except HeadMovedError:
        raise
    except (OSError, pl.exceptions.PolarsError, StoreError):
        backend.discard(made)
        raise


def _new_file(backend: StoreBackend, staging: Path, made: list[str], folder: str, ending: str, mark: str = "") -> str:
    """Creates an empty file with the store's permissions, whichever library fills it, and returns its name."""
    made.append(fresh_name(folder, ending, mark))
    os.close(open_file(str(staging), made[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, backend.file_mode))
    return made[-1]


def keep_state(backend: StoreBackend, identity: str, state: bytes) -> None:
    """Writes the state of a cursor, unless it is there: its id is a hash of it. Raises OSError."""
    backend.prepare()
    name = name_of_state(identity)
    with backend.staging() as staging:
        try:
            descriptor = open_file(str(staging), name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, backend.file_mode)
        except FileExistsError:
            return
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(state)
        backend.add_file(staging, name)


def _described(staging: Path, name: str, rows: int) -> TableFile:
    """Describes a written file by size and checksum, so that later changes are noticed."""
    with (staging / name).open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        return TableFile(name, rows, size, sum_of(stream))


def _table_file(backend: StoreBackend, block: FileBlock) -> TableFile:
    name = block.path[len(backend.address) + 1 :]
    return TableFile(name, block.rows, block.size, block.checksum, block.low, block.high, block.etag)


def _written_blocks(backend: StoreBackend, staging: Path, blocks: Sequence[Block], made: list[str]) -> list[FileBlock]:
    """Returns the blocks as files: writes frames, removes dropped runs and merges small neighbours."""
    groups: list[list[Block]] = []
    for block in blocks:
        groups.append([block])
        while len(groups) > 1 and _can_merge(groups[-2], groups[-1]):
            groups[-2:] = [[*groups[-2], *groups[-1]]]
    kept: list[FileBlock] = []
    for group in groups:
        first = group[0]
        if len(group) == 1 and isinstance(first, FileBlock) and not first.dropped:
            kept.append(first)
            continue
        points = scan(group).collect()
        if points.height:
            kept.append(as_block(backend, _write_points(backend, staging, points, made)))
    return kept


def _can_merge(older: Sequence[Block], newer: Sequence[Block]) -> bool:
    old, new = sum(map(_rows, older)), sum(map(_rows, newer))
    return old <= SMALL_ROWS and new <= SMALL_ROWS and old <= _TIER * new


def _rows(block: Block) -> int:
    return block.frame.height if isinstance(block, FrameBlock) else block.rows


def _write(backend: StoreBackend, staging: Path, table: str, frame: pl.DataFrame, made: list[str]) -> TableFile:
    name = _new_file(backend, staging, made, table, ".parquet")
    frame.write_parquet(staging / name, compression="zstd", compression_level=1)
    return _described(staging, name, frame.height)


def _write_walk(backend: StoreBackend, staging: Path, walk: bytes, made: list[str]) -> TableFile:
    name = _new_file(backend, staging, made, "state", ".walk")
    (staging / name).write_bytes(walk)
    return _described(staging, name, 0)


def _plain_runs(runs: pl.DataFrame) -> pl.DataFrame:
    """Returns the runs frame with columns for any engine: hyperparameters and metadata are JSON text."""
    fixed = [*RUN_COLUMNS, *TIMES_OF_FILES]
    metadata = [c for c in runs.columns if c.startswith("metadata.")]
    hyper = [c for c in runs.columns if c not in fixed and c not in metadata]
    plain = runs.with_columns(cs.categorical().cast(pl.String))
    return plain.select(*fixed, _json(hyper).alias("hyperparameters"), _json(metadata).alias("metadata"))


def _json(columns: Sequence[str]) -> pl.Expr:
    return pl.struct(columns).struct.json_encode() if columns else pl.lit("{}")


def _retired(before: Head | None, head: Head) -> dict[str, float]:
    """Returns files of earlier versions with the time at which a HEAD last named them."""
    if before is None:
        return {}
    named = set(head.files)
    left = {name: time.time() for name in before.files if name not in named}
    return {**{n: t for n, t in before.retired.items() if n not in named}, **left}


def sweep(backend: StoreBackend, head: Head) -> None:
    """Removes unused files: those of earlier versions after their grace period, and those that killed processes left.

    What executors write for an ingest that has not ended is not named yet, and stays.
    """
    now = time.time()
    known = {*head.files, *head.retired}
    retired = {n: since for n, since in head.retired.items() if is_own_name(n)}
    done = [n for n, since in retired.items() if now - since > _GRACE.get(n.split("/", 1)[0], _SHORT_GRACE)]
    there = list(backend.written())
    ingesting = tuple(f"points/{mark}" for n, t in there if now - t < _INGEST_SECONDS and (mark := mark_kept_by(n)))
    unnamed = [n for n, t in there if n not in known and now - t > _orphaned_after(n)]
    orphans = [n for n in unnamed if not n.startswith(ingesting)]
    gone = backend.remove([*done, *orphans])
    for name in gone.intersection(done):
        del head.retired[name]


def _orphaned_after(name: str) -> float:
    """Seconds after which a file that no HEAD names is removed."""
    return _STATE_SECONDS if is_kept_state(name) else _ORPHAN
