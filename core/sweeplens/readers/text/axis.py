"""Rows of a text log in their order -> the run and the step of each.

One count drives a run: the finest that its lines show. What begins again with each epoch goes on over the epochs. A row that
says less stands where its run last was. An epoch that falls back to the first one begins another run; one that falls back less
far is a resume of the same run. Fractional epochs, and epochs that stand still over many rows, leave the position in the log.
Every decision rests on what came before, and what later rows need is `AxisState`: reading in parts gives the same.
"""

from __future__ import annotations

from msgspec import Struct, field

MOST_COUNT = 2.0**53  # no count is larger, nor NaN

__all__ = ["MOST_COUNT", "AxisRow", "AxisState", "KeyTraits", "place_rows"]


class AxisRow(Struct, frozen=True, gc=False):
    """What a line says of its place, and the key of its template."""

    key: int
    epoch: float | None
    fine: float | None
    total: float | None


class KeyTraits(Struct, frozen=True):
    """What all rows of one template have in common."""

    split: str = ""
    inner: bool = False
    named: bool = True  # its count has a name of its own
    positional: bool = False
    metrics: bool = True
    eval: bool = False


class Track(Struct):
    """A count that goes forward, and what was added because it began again."""

    last: float | None = None
    first: float = 0.0
    base: float = 0.0
    epoch: float | None = None


class AxisState(Struct):
    """Where a text log is."""

    run: int = 0
    epoch: float | None = None
    first_epoch: float | None = None
    tracks: dict[str, Track] = field(default_factory=dict[str, Track])
    step: int | None = None
    is_fine: bool = False
    position: int = -1
    has_rows: bool = False
    split: str = ""  # what the last line that is an axis alone said

    def begin_run(self) -> None:
        """Another training begins in the same file; it is the first where nothing was measured before."""
        self.run += int(self.has_rows)
        self.has_rows = False
        self.epoch = self.first_epoch = None
        self.tracks = {}
        self.step, self.is_fine, self.position = None, False, -1


PlacedRow = tuple[int, int | None, bool, str]
"""Run; step, if one is known; whether the row itself has the finest count; the split that the header above it names."""


def place_rows(rows: list[AxisRow], traits: dict[int, KeyTraits], state: AxisState) -> list[PlacedRow]:
    """Where each row stands."""
    found: list[PlacedRow] = []
    for row in rows:
        kind = traits[row.key]
        if not kind.metrics:
            state.split = kind.split
        _see_epoch(row, kind, state)
        fine = _see_count(row, kind, state)
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


def _see_epoch(row: AxisRow, kind: KeyTraits, state: AxisState) -> None:
    """Take over the epoch that a row says; begin another run where it fell back to the first."""
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


def _see_count(row: AxisRow, kind: KeyTraits, state: AxisState) -> int | None:
    """The step that the count of a row gives; None where it has none."""
    count = row.fine
    if count is None or not abs(count) < MOST_COUNT:
        return None
    count = abs(count)
    track = state.tracks.get(kind.split if kind.eval else "")
    if track is None:
        track = state.tracks[kind.split if kind.eval else ""] = Track(first=count)
    if track.last is not None and count < track.last:
        track = _fell_back(count, row, kind, state, track)
    elif track.last is not None and kind.inner and track.epoch != state.epoch and row.total and track.last >= row.total:
        track.base += row.total  # one step an epoch: ``[1/1]`` again
    track.last, track.epoch = count, state.epoch
    step = int(track.base + count)
    if not kind.eval:
        state.step, state.is_fine = step, True
    elif not state.is_fine:
        return None
    return state.step if kind.eval and not kind.inner and not kind.named else step


def _fell_back(count: float, row: AxisRow, kind: KeyTraits, state: AxisState, track: Track) -> Track:
    """The track after its count became smaller: it goes on over epochs, or it is a resume, or another run begins."""
    assert track.last is not None
    over = state.epoch is not None and track.epoch is not None and state.epoch > track.epoch
    if over or kind.inner or kind.eval or (state.epoch is not None and state.epoch == track.epoch):
        passed = max(1.0, (state.epoch or 0) - (track.epoch or 0)) if over else 1.0
        length = row.total if row.total and row.total >= track.last else track.last + (1 if count < 1 else 0)
        track.base += length * (passed if row.total else 1.0)
        return track
    if state.epoch is None and count <= track.first:
        state.begin_run()
        state.tracks[""] = Track(first=count)
        return state.tracks[""]
    return track
