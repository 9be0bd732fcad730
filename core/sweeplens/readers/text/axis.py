"""Finds the run and the step of each row of a text log, in the order of the rows.

The steps of a run come from the finest count in its lines. A count that restarts in each epoch is continued over the epochs. A
row without the count has the last step of its run. An epoch that falls back to the first one begins another run; a smaller fall
is a resume of the same run. With fractional epochs, or epochs that stay the same over many rows, the row's position is the step.
Each decision uses only earlier rows, and `AxisState` holds what later rows need, so reading in parts gives the same result.
"""

from __future__ import annotations

from msgspec import Struct, field

MOST_COUNT = 2.0**53  # larger counts and NaN are ignored

UNNAMED = "#"  # the count of progress bars and of ``[50/100]``: it may be another one than the named count

__all__ = ["MOST_COUNT", "UNNAMED", "AxisRow", "AxisState", "KeyTraits", "place_rows"]


class AxisRow(Struct, frozen=True, gc=False):
    """The axis values of a line, and the key of its template."""

    key: int
    epoch: float | None
    fine: float | None
    total: float | None


class KeyTraits(Struct, frozen=True):
    """Properties of all rows of one template."""

    split: str = ""
    inner: bool = False
    named: bool = True  # its count has a name
    positional: bool = False
    metrics: bool = True
    eval: bool = False
    passing: bool = False  # a line that only names a split: it holds until a row has an axis of its own


class StepCount(Struct):
    """A count that goes forward, and the offset that was added because it restarted."""

    last: float | None = None
    first: float = 0.0
    base: float = 0.0
    epoch: float | None = None
    total: float | None = None


class AxisState(Struct):
    """The current run, epoch and step of a text log."""

    run: int = 0
    epoch: float | None = None
    first_epoch: float | None = None
    counts: dict[str, StepCount] = field(default_factory=dict[str, StepCount], name="tracks")  # its name in stores
    step: int | None = None
    is_fine: bool = False
    position: int = -1
    has_rows: bool = False
    split: str = ""  # of the last line without values
    is_passing: bool = False  # that line only names a split

    def begin_run(self) -> None:
        """Begins another run in the same file; it is the first run if there were no values before."""
        self.run += int(self.has_rows)
        self.has_rows = False
        self.epoch = self.first_epoch = None
        self.counts = {}
        self.step, self.is_fine, self.position = None, False, -1


PlacedRow = tuple[int, int | None, bool, str]
"""Run; step or None; whether the row itself has the finest count; the split in the last line without values."""


def place_rows(rows: list[AxisRow], traits: dict[int, KeyTraits], state: AxisState) -> list[PlacedRow]:
    """Returns the run and step of each row."""
    found: list[PlacedRow] = []
    for row in rows:
        kind = traits[row.key]
        if not kind.metrics:
            state.split, state.is_passing = kind.split, kind.passing
        elif state.is_passing and (row.epoch is not None or row.fine is not None):
            state.split, state.is_passing = "", False
        _update_epoch(row, kind, state)
        fine = _update_count(row, kind, state)
        if kind.positional and kind.metrics:
            state.position += 1
            state.step, state.is_fine, fine = state.position, True, state.position
        state.has_rows = state.has_rows or kind.metrics
        if fine is not None:
            found.append((state.run, fine, True, state.split))
        elif state.is_fine:
            found.append((state.run, state.step, False, state.split))
        else:
            at = row.epoch if row.epoch is not None and abs(row.epoch) < MOST_COUNT else state.epoch
            found.append((state.run, None if at is None else int(at), False, state.split))
    return found


def _update_epoch(row: AxisRow, kind: KeyTraits, state: AxisState) -> None:
    """Takes the epoch of a row; begins another run where it fell back to the first one."""
    epoch = row.epoch
    if epoch is None or not abs(epoch) < MOST_COUNT:
        return
    if state.epoch is not None and epoch < state.epoch:
        if kind.eval:
            return
        if state.first_epoch is not None and epoch <= state.first_epoch:
            state.begin_run()
    state.epoch = epoch
    if state.first_epoch is None:
        state.first_epoch = epoch


def _update_count(row: AxisRow, kind: KeyTraits, state: AxisState) -> int | None:
    """Returns the step of a row by its count; None where it has no count."""
    count = row.fine
    if count is None or not abs(count) < MOST_COUNT:
        return None
    count = abs(count)
    name = kind.split if kind.eval else "" if kind.named else UNNAMED
    track = state.counts.get(name)
    if kind.eval and kind.named and not kind.inner and row.total and not _is_of_training(row, state):
        return state.step if state.is_fine else None
    if track is None:
        track = state.counts[name] = StepCount(first=count)
    if track.last is not None and count < track.last:
        track = _after_fall(count, row, kind, state, track)
    elif track.last is not None and kind.inner and track.epoch != state.epoch and row.total and track.last >= row.total:
        track.base += row.total  # one step in each epoch: ``[1/1]`` again
    track.last, track.epoch, track.total = count, state.epoch, row.total
    step = int(track.base + count)
    if not kind.eval:
        state.step, state.is_fine = step, True
    elif not state.is_fine:
        return None
    return state.step if kind.eval and not kind.inner and not kind.named else step


def _is_of_training(row: AxisRow, state: AxisState) -> bool:
    """Whether the count of an evaluation is that of the training, by its total: not that of its own batches."""
    track = state.counts.get("") or state.counts.get(UNNAMED)
    return track is None or track.total is None or track.total == row.total


def _after_fall(count: float, row: AxisRow, kind: KeyTraits, state: AxisState, track: StepCount) -> StepCount:
    """Handles a count that fell: it continues over epochs, or it is a resume, or another run begins."""
    assert track.last is not None
    over = state.epoch is not None and track.epoch is not None and state.epoch > track.epoch
    if over or kind.inner or kind.eval or (state.epoch is not None and state.epoch == track.epoch):
        passed = max(1.0, (state.epoch or 0) - (track.epoch or 0)) if over else 1.0
        length = row.total if row.total and row.total >= track.last else track.last + (1 if count < 1 else 0)
        track.base += length * (passed if row.total else 1.0)
        return track
    if state.epoch is None and count <= track.first:
        state.begin_run()
        state.counts["" if kind.named else UNNAMED] = StepCount(first=count)
        return state.counts["" if kind.named else UNNAMED]
    return track
