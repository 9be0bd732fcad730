"""`MemoryStore`: keeps everything in this process. Readers see each change from ingest as one step."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import polars as pl
from msgspec import Struct, field
from msgspec.structs import replace

from sweeplens.counting import count_of, verb
from sweeplens.engines.polars_points import select_rows
from sweeplens.engines.protocol import StoredPoints
from sweeplens.errors import StoreError
from sweeplens.frames.lineage import with_lineage
from sweeplens.frames.path_settings import with_path_settings
from sweeplens.frames.schemas import empty_series
from sweeplens.frames.source_runs import RememberedLinks
from sweeplens.readers.checked import plain_problem
from sweeplens.readers.protocol import Problem
from sweeplens.sources.discover import Discovery, RememberedWalk
from sweeplens.store.blocks import Block, FileBlock, add_frame, drop_runs, scan, stored_points
from sweeplens.store.continued_runs import continued_runs, with_targets, without_earlier
from sweeplens.store.job_logs import JobLogs, Mask
from sweeplens.store.joined_parts import JoinedParts
from sweeplens.store.ledger import Key, Ledger, SourceEntry
from sweeplens.store.merge import splice
from sweeplens.store.restated_runs import restated_runs, without_runs
from sweeplens.store.row_update import updated_rows
from sweeplens.store.runs_frame import RunRow, row_of, runs_frame
from sweeplens.store.snapshot import Snapshot
from sweeplens.store.split_overlaps import SplitOverlaps

__all__ = ["MemoryStore", "StoreChange"]

log = logging.getLogger("sweeplens.store")

_MOST_STATES = 256  # kept in memory


class StoreChange(Struct):
    """The changes that one ingest found. Points come as frames, or as files that were written already."""

    gone: list[Key] = field(default_factory=list[Key])
    entries: dict[Key, SourceEntry] = field(default_factory=dict[Key, SourceEntry])
    freed: set[str] = field(default_factory=set[str])  # requested ids of sources that are gone or were read again
    given: dict[str, Key] = field(default_factory=dict[str, Key])  # requested id -> the source that has it for now
    dropped: set[str] = field(default_factory=set[str])  # run ids whose earlier data no longer count
    points: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    files: list[FileBlock] = field(default_factory=list[FileBlock])
    series: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])  # rows that are new or changed


class _ShownRuns(Struct, frozen=True):
    """The runs that snapshots have, with what their names and their sources say: ``runs``, made from the frame of the store.

    ``restated``: runs that only restate others, by their source; ``continued``: earlier parts of trainings, with the last part.
    """

    made_from: pl.DataFrame
    runs: pl.DataFrame
    restated: Mapping[str, list[str]] = {}
    continued: Mapping[str, str] = {}


class MemoryStore:
    """Holds the ledger, blocks of points, series and runs, and the snapshot made from them."""

    shows_secrets = False  # whether values of hyperparameters with names of secrets are kept
    names_as_settings = True  # whether names give settings where no config does
    mask: Mask | None = None  # hides secrets in what logs say; ingest sets it
    names_files = False  # whether snapshots name the files of their points, for an engine elsewhere

    def __init__(self) -> None:
        self.remembered = RememberedWalk()
        self.ledger = Ledger()
        self.blocks: list[Block] = []
        self.series = empty_series()
        self.runs = runs_frame(())
        self._shown = _ShownRuns(self.runs, self.runs)
        self._joined = JoinedParts()
        self._links = RememberedLinks()
        self.found: Discovery | None = None
        self.snapshot = Snapshot()
        self.warnings: tuple[str, ...] = ()
        self._states: dict[str, bytes] = {}
        self._job_logs, self._split_overlaps = JobLogs(), SplitOverlaps()
        self._problems: dict[Key, SourceEntry] = {}
        self._touched: dict[Key, SourceEntry | None] = {}  # entries before the current change

    def warn(self, *warnings: str) -> None:
        """Replaces the warnings that every answer shows."""
        self.warnings = warnings
        self.snapshot = replace(self.snapshot, warnings=self.warnings)

    @contextmanager
    def updating(self) -> Generator[None]:
        """Surrounds one refresh. A shared store loads what others wrote before it, and writes after it."""
        yield

    def spill(self, points: pl.DataFrame, *, ordered: bool = False) -> FileBlock | None:
        """Writes these points to a file, if the store keeps large readings outside memory."""
        return None

    def keep_state(self, identity: str, state: bytes) -> None:
        """Keeps a few hundred bytes under an id of 32 hexadecimal digits; the oldest are forgotten."""
        self._states[identity] = state
        while len(self._states) > _MOST_STATES:
            self._states.pop(next(iter(self._states)), None)

    def kept_state(self, identity: str) -> bytes | None:
        """Returns the bytes under an id; None if they are not kept."""
        return self._states.get(identity)

    def described(self) -> str:
        """Returns where the store is, how large and how old."""
        return self.warnings[0] if self.warnings else "in memory, nothing is kept between processes"

    def lost(self) -> bool:
        """Whether data that the snapshot needs are gone."""
        return False

    def forget(self, error: StoreError) -> None:
        """Discards what was read, so that everything is read again. The snapshot stays until then."""
        log.warning("Everything is read again: %s", error)
        self._clear()

    def _clear(self) -> None:
        self.remembered, self.ledger, self.blocks = RememberedWalk(), Ledger(), []
        self.series, self.runs, self.found = empty_series(), runs_frame(()), None
        self._problems = {}

    @property
    def is_new(self) -> bool:
        """Whether nothing has been read yet."""
        return self.found is None and not len(self.ledger)

    @property
    def points(self) -> pl.LazyFrame:
        """Returns all points as logged."""
        return scan(self.blocks)

    def with_points(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Returns which of these runs have logged points; a reading cannot continue a run without points."""
        known, asked = self.series["run_id"], pl.Series(run_ids, dtype=pl.String)
        if not len(known) or not len(asked):
            return frozenset()
        places = known.search_sorted(asked, "left")  # the frame is in order of runs
        found = known.gather(places.clip(upper_bound=len(known) - 1))
        return frozenset(asked.filter(found == asked).to_list())

    def earlier(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Returns the stored points of these (run_id, metric), as logged."""
        runs, metrics = keys["run_id"].unique().to_list(), keys["metric"].unique().to_list()
        return (
            select_rows(self.points, runs=runs, metrics=metrics)
            .join(keys.lazy(), on=["run_id", "metric"], how="semi", maintain_order="left")
            .collect()
        )

    def apply(self, change: StoreChange, found: Discovery) -> Snapshot:
        """Applies the change, gives every run its unique id and publishes the snapshot. An error leaves everything as it was."""
        self._touched = {}
        with ExitStack() as at_error:
            at_error.callback(_Undo(self).restore, self, self._touched)
            snapshot = self._apply(change, found)
            at_error.pop_all()
        return snapshot

    def _apply(self, change: StoreChange, found: Discovery) -> Snapshot:
        rebuild = self._take(change)
        renamed = self._rename(change)
        if rebuild or renamed:
            steps = dict(self.series.group_by("run_id").agg(pl.col("n").max()).iter_rows())
            self.runs = runs_frame([row for entry in self._in_order(found) for row in _rows(entry, steps)])
        self.found = found
        return self._show(found)

    def _take(self, change: StoreChange) -> bool:
        """Applies everything but the ids. Returns whether the runs frame must be rebuilt."""
        before = {key: self.ledger.get(key) for key in change.entries}
        for key in change.gone:
            self._touched.setdefault(key, self.ledger.get(key))
            self.ledger.remove(key)
            self._problems.pop(key, None)
        for entry in change.entries.values():
            self._put(entry)
            self._problems.pop(entry.key, None)
            if entry.problems:
                self._problems[entry.key] = entry
        self.blocks = [*drop_runs(self.blocks, frozenset(change.dropped)), *change.files]
        for frame in change.points:
            self.blocks = add_frame(self.blocks, frame)
        rows = pl.concat([empty_series(), *change.series])
        self.series = splice(self.series, change.dropped, rows)
        if change.gone or len(change.entries) * 4 > self.runs.height:
            return True
        return not self._update_rows([(before[e.key], e) for e in change.entries.values()])

    def _put(self, entry: SourceEntry) -> None:
        self._touched.setdefault(entry.key, self.ledger.get(entry.key))
        self.ledger.put(entry)

    def _update_rows(self, pairs: Sequence[tuple[SourceEntry | None, SourceEntry]]) -> bool:
        """Replaces the rows of a few runs. Returns False if their columns could change."""
        known = [(old, new) for old, new in pairs if old is not None and old.ids == new.ids]
        if len(known) < len(pairs):
            return False
        steps = self._steps([i for _, new in known for i in new.ids])
        was = [row for old, _ in known for row in _rows(old, {})]
        runs = updated_rows(self.runs, was, [row for _, new in known for row in _rows(new, steps)])
        self.runs = self.runs if runs is None else runs
        return runs is not None

    def _steps(self, ids: Sequence[str]) -> dict[str, int]:
        """Returns the number of steps in the longest series of each run."""
        if len(ids) == 1:
            run_ids = self.series["run_id"]
            begin, end = int(run_ids.search_sorted(ids[0], "left")), int(run_ids.search_sorted(ids[0], "right"))
            most = self.series["n"].slice(begin, end - begin).max()
            return {ids[0]: int(most)} if isinstance(most, int) else {}
        mine = self.series.lazy().filter(pl.col("run_id").is_in(list(ids)))
        return dict(mine.group_by("run_id").agg(pl.col("n").max()).collect().iter_rows())

    def _in_order(self, found: Discovery) -> Iterable[SourceEntry]:
        for source in found.sources:
            entry = self.ledger.get(source.key)
            if entry is not None:
                yield entry

    def _rename(self, change: StoreChange) -> bool:
        """Gives each run the id that is unique among all sources. Returns whether any id changed."""
        touched = {r.id for e in change.entries.values() for r in e.records} | change.freed
        renamed: dict[str, str] = {}
        for key, final in self.ledger.final_ids(touched).items():
            entry = self.ledger.get(key)
            if entry is None:
                continue
            ids = tuple(final.get(r.id, i) for r, i in zip(entry.records, entry.ids, strict=True))
            if ids != entry.ids:
                renamed |= dict(zip(entry.ids, ids, strict=True))
                entry = replace(entry, ids=ids)
                self._put(entry)
                if entry.problems:
                    self._problems[key] = entry
        self._move(renamed)
        return bool(renamed)

    def _move(self, renamed: dict[str, str]) -> None:
        if not renamed:
            return
        name = pl.col("run_id").replace(renamed)
        points = select_rows(self.points, runs=list(renamed)).collect().with_columns(name)
        series = self.series.filter(pl.col("run_id").is_in(list(renamed))).with_columns(name)
        self.blocks = add_frame(drop_runs(self.blocks, frozenset(renamed)), points)
        self.series = splice(self.series, set(renamed), series)

    def _shown_runs(self) -> _ShownRuns:
        """Returns the runs that snapshots have; made again where the frame is another one."""
        if self._shown.made_from is not self.runs:
            restated = restated_runs(self.runs)
            runs = without_runs(self.runs, restated)
            links = self._links.of(runs)
            continued = continued_runs(runs, self.series, links)
            runs = without_earlier(runs, continued)
            named = with_path_settings(runs) if self.names_as_settings else runs
            shown = with_lineage(named, with_targets(links, continued))
            self._shown = _ShownRuns(self.runs, shown, restated, continued)
        return self._shown

    def _show(self, found: Discovery) -> Snapshot:
        """Publishes the snapshot. What files beside the runs say is given to their runs here, where all runs are known."""
        order = {s.key: i for i, s in enumerate(found.sources)} if self._problems else {}
        ranked = sorted(self._problems, key=lambda k: order.get(k, -1))
        shown = self._shown_runs()
        tops = self.remembered.tops
        linked = self._job_logs.added(shown.runs, found, tops, self.mask)
        snapshot = Snapshot(
            runs=self._split_overlaps.added(linked.runs, linked.refused, tops),
            version=self.ledger.version_with((*linked.stamp, *self._split_overlaps.stamp)),
            series=self.series,
            points=self.points,
            stored=stored_points(self.blocks) if self.names_files else StoredPoints(),
            problems=(
                *map(plain_problem, found.problems),
                *(p for k in ranked for p in self._problems[k].shown_problems),
            ),
            sources=linked.sources,
            refused=linked.refused,
            job_logs=linked.logs,
            printed=linked.printed,
            warnings=self.warnings,
        )
        snapshot = self._joined.joined(snapshot, shown.continued) if shown.continued else snapshot
        self.snapshot = _without_restated(snapshot, shown.restated) if shown.restated else snapshot
        return self.snapshot


class _Undo:
    """The state of a store before a change."""

    def __init__(self, store: MemoryStore) -> None:
        self._blocks, self._series, self._runs = store.blocks, store.series, store.runs
        self._found, self._snapshot = store.found, store.snapshot
        self._problems = dict(store._problems)  # pyright: ignore[reportPrivateUsage]
        self._changed = set(store.ledger.changed)

    def restore(self, store: MemoryStore, touched: Mapping[Key, SourceEntry | None]) -> None:
        """Undoes the change. ``touched``: earlier versions of the entries that it put or removed."""
        store.blocks, store.series, store.runs = self._blocks, self._series, self._runs
        store.found, store.snapshot = self._found, self._snapshot
        store._problems = self._problems  # pyright: ignore[reportPrivateUsage]
        for key, entry in touched.items():
            if entry is None:
                store.ledger.remove(key)
            else:
                store.ledger.put(entry)
        store.ledger.changed = self._changed


def _without_restated(snapshot: Snapshot, restated: Mapping[str, list[str]]) -> Snapshot:
    """Returns the snapshot without the series and points of runs that restate others; a problem of each table says so."""
    others = pl.col("run_id").is_in([run for runs in restated.values() for run in runs]).not_()
    told = (
        Problem(
            source,
            f"{count_of(len(runs), 'row')} of it {verb(len(runs), 'is', 'are')} about runs that have logs, "
            f"and no {verb(len(runs), 'run', 'runs')} of {verb(len(runs), 'its', 'their')} own",
            kind="warning",
        )
        for source, runs in restated.items()
    )
    kept = (p for p in snapshot.problems if p.file not in restated or p.kind != "warning")
    return replace(
        snapshot,
        series=snapshot.series.filter(others),
        points=snapshot.points.filter(others),
        problems=(*kept, *told),
    )


def _rows(entry: SourceEntry, steps: Mapping[str, int]) -> list[RunRow]:
    """Returns the rows of a source in the runs frame."""
    return [
        row_of(
            record,
            entry.source,
            run_id,
            steps.get(run_id, 0),
            ended=entry.ended,
            grows=entry.grows,
            warnings=entry.warnings,
        )
        for record, run_id in zip(entry.records, entry.ids, strict=True)
    ]
