"""A growing text log: reading in parts equals reading at once, and a file without a reader is examined again."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import RootError
from sweeplens.readers.protocol import FileStat, Reading, Resume, Source
from sweeplens.readers.text.axis import AxisRow, AxisState, KeyTraits, place_rows
from sweeplens.readers.text.axis_columns import AxisColumns, placed_columns
from sweeplens.readers.text.known_numbers import KnownNumbers
from sweeplens.readers.text.reader import PLAN_BYTES, TextLogs


def row_of_steps(e: int, i: int, rng: random.Random) -> str:
    """A row as tutorials print it, now and then with a value that is none."""
    loss = "nan" if rng.random() < 0.02 else f"{rng.random():.4f}"
    return (
        f"2024-05-08 04:{i % 60:02d}:12,127 - INFO - Epoch [{e}/3], Step [{i}/900], Loss: {loss} ({rng.random():.4f})\n"
    )


def box(e: int, i: int, rng: random.Random) -> str:
    """A block of a console, its count at the end."""
    rule = "-" * 33 + "\n"
    cells = [
        "| rollout/ |  |\n",
        f"| ep_rew_mean | {rng.random():.3g} |\n",
        "| time/ |  |\n",
        f"| total_timesteps | {(e * 900 + i) * 64} |\n",
    ]
    return rule + "".join(cells) + rule


def bar(e: int, i: int, rng: random.Random) -> str:
    """Two states of a progress bar at one step."""
    return "".join(
        f"Epoch {e}: {i // 9}%|#| {i}/900 [00:01<00:02, 9.0it/s, loss={rng.random():.3f}]\n" for _ in range(2)
    )


def a_log(kind: str, seed: int) -> bytes:
    """Two trainings after each other, longer than what decides the plan."""
    rng = random.Random(seed)
    make = {"steps": row_of_steps, "box": box, "bar": bar}[kind]
    lines: list[str] = []
    for lr in (0.1, 0.01):
        lines.append(f"Namespace(lr={lr}, model='vit', seed={seed})\n")
        for e in (1, 2, 3):
            lines += [make(e, i, rng) for i in range(1, 901)]
            lines.append(f"Epoch {e} done, val_loss: {rng.random():.4f}\n" if kind != "box" else "saved\n")
    return "".join(lines).encode()


def reading(path: Path, resume: Resume | None) -> Reading:
    """One reading of a file."""
    entry = FileStat(str(path), path.stat().st_size, 0, 1)
    return TextLogs().read(Source("text_logs", str(path.parent), str(path), (entry,)), resume)


def series(*readings: Reading) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """(run, metric) -> its steps and values in order."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for run, metric, step, value in (
        pl.concat(r.points for r in readings).select("run_id", "metric", "step", "value").iter_rows()
    ):
        found.setdefault((run, metric), []).append((step, repr(value)))
    return found


LOGS = {kind: a_log(kind, 1) for kind in ("steps", "box", "bar")}


@pytest.mark.parametrize("kind", LOGS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_log_read_in_parts_is_as_read_at_once(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = LOGS[kind]
    assert len(whole) > PLAN_BYTES + 1000
    cuts = sorted(data.draw(st.lists(st.integers(PLAN_BYTES, len(whole)), min_size=1, max_size=3)))
    path = tmp_path_factory.mktemp("growing") / "train.log"
    path.write_bytes(whole)
    once = reading(path, None)
    parts: list[Reading] = []
    for cut in (*cuts, len(whole)):
        path.write_bytes(whole[:cut])
        resume = parts[-1].resume if parts else None
        parts = [*(parts if resume else []), reading(path, resume)]  # without a resume the file is read whole again
    known: dict[str, dict[str, object]] = {}
    for part in parts:
        known.update({r.id: dict(r.hyperparameters) for r in part.runs if r.hyperparameters})
    assert series(*parts) == series(once)
    assert known == {r.id: dict(r.hyperparameters) for r in once.runs}
    assert len(once.runs) == 2


def test_a_reading_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(LOGS["steps"])
    first = reading(path, None)
    assert first.resume is not None
    assert first.resume.offset == len(LOGS["steps"])
    with path.open("ab") as log:
        log.write(b"2024-05-08 05:00:12,127 - INFO - Epoch [3/3], Step [901/900], Loss: 0.5000 (0.2500)\n")
    further = reading(path, first.resume)
    assert further.points.select("run_id", "metric", "value").rows() == [
        ("train.log#2", "Loss", 0.5), ("train.log#2", "Loss.avg", 0.25), ("train.log#2", "Epoch", 3.0),
    ]  # fmt: skip


def test_a_long_log_with_headings_of_splits_goes_on(tmp_path: Path) -> None:
    """The last heading is in the state of the reading."""
    path = tmp_path / "train.log"
    rows = [f"Epoch {e}/9000\nTrain:\nloss: {9 / (e + 1):.4f}\nVal:\nloss: {7 / (e + 1):.4f}\n" for e in range(1, 9000)]
    path.write_text("".join(rows))
    first = reading(path, None)
    assert first.resume is not None
    with path.open("a") as log:
        log.write("loss: 0.2500\n")
    further = reading(path, first.resume)
    assert further.points.select("metric", "step", "value").rows() == [("val/loss", 8999, 0.25)]


def test_a_file_that_becomes_a_log_is_found_then(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("Loading data\n" * 1000)
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=tmp_path)
    with pytest.raises(RootError):
        _ = db.runs_df
    for epochs in (3, 5):
        with path.open("a") as log:
            log.writelines(f"epoch {e} loss {1 / e:.2f}\n" for e in range(epochs - 2, epochs + 1))
        db.refresh()
        assert db.runs_df["run_id"].to_list() == [path.parent.name]
        assert db.series_df.filter(pl.col("metric") == "loss")["last_step"].to_list() == [epochs]


def columns_of(rows: list[tuple[int, float | None, float | None, float | None]]) -> AxisColumns:
    """Rows of a key, an epoch, a count and a total as columns."""
    keys = np.array([row[0] for row in rows], np.int64)
    numbers = [KnownNumbers.of_series(pl.Series([row[i] for row in rows], dtype=pl.Float64)) for i in (1, 2, 3)]
    return AxisColumns(np.arange(len(rows), dtype=np.int64), keys, *numbers)


def of_use(total: float | None) -> float | None:
    """A planned total; those that are no numbers are not known."""
    return total if total is not None and abs(total) < 2.0**53 else None


EPOCHS = st.one_of(
    st.none(), st.integers(-1, 4).map(float), st.sampled_from([0.5, float("nan"), float("inf"), 2.0**60])
)
COUNTS = st.one_of(st.none(), st.integers(-2, 6).map(float), st.sampled_from([0.5, 2.5, float("nan"), 2.0**53]))
TOTALS = st.sampled_from([None, 5.0, 6.0, 0.0, 2.5, float("inf"), float("nan")])
TRAITS = {
    0: KeyTraits(), 1: KeyTraits(inner=True, named=False), 2: KeyTraits(split="val", eval=True),
    3: KeyTraits(metrics=False, split="train"), 4: KeyTraits(metrics=False, split="val", passing=True),
    5: KeyTraits(split="val", eval=True, inner=True), 6: KeyTraits(split="test", eval=True, named=False),
    7: KeyTraits(positional=True), 8: KeyTraits(named=False), 9: KeyTraits(inner=True), 11: KeyTraits(metrics=False),
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(TRAITS)), EPOCHS, COUNTS, TOTALS), min_size=1, max_size=12),
    st.integers(0, 12),
)
@example([(7, None, None, None), (0, 1.0, 3.0, 6.0), (0, 0.0, 1.0, 6.0), (2, None, 2.0, 5.0)], 2)
def test_steps_placed_by_columns_are_those_placed_row_by_row(
    rows: list[tuple[int, float | None, float | None, float | None]], cut: int
) -> None:
    traits = TRAITS
    one, other = AxisState(), AxisState()
    for part in (rows[:cut], rows[cut:]):
        expected = place_rows(
            [AxisRow(key, epoch, count, of_use(total)) for key, epoch, count, total in part], traits, one
        )
        found = placed_columns(columns_of(part), traits, other)
        steps = [
            step if placed else None for step, placed in zip(found.step.tolist(), found.placed.tolist(), strict=True)
        ]
        splits: list[str] = [found.splits[int(at)] for at in found.under.tolist()]
        assert list(zip(found.run.tolist(), steps, found.own.tolist(), splits, strict=True)) == expected
        assert one == other


def test_the_logs_of_the_splits_of_a_training_are_read_on(tmp_path: Path) -> None:
    """Both logs grow after a reading; one of them only at the next one."""
    many = range(PLAN_BYTES // 20)
    logs = {"train": tmp_path / "train.log", "val": tmp_path / "valid.log"}
    for path in logs.values():
        path.write_text("".join(f"epoch {e} loss {1 / (e + 1):.4f}\n" for e in many))

    def source() -> Source:
        files = tuple(FileStat(str(p), p.stat().st_size, 0, 1) for p in logs.values())
        return Source("text_logs", str(tmp_path.parent), str(tmp_path), files)

    first = TextLogs().read(source(), None)
    with logs["train"].open("a") as log:
        log.write(f"epoch {len(many)} loss 0.2500\n")
    second = TextLogs().read(source(), first.resume)
    with logs["val"].open("a") as log:
        log.write(f"epoch {len(many)} loss 0.7500\n")
    third = TextLogs().read(source(), second.resume)
    names = pl.concat((second.points, third.points)).select("metric", "step", "value").rows()
    assert names == [("train/loss", len(many), 0.25), ("val/loss", len(many), 0.75)]
