"""Binary logs: TensorBoard, W&B and SwanLab, from samples that this suite writes itself, byte by byte."""

from __future__ import annotations

import math
import os
import random
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from support import wire_samples as wire
from support.reading import Found, read_folder

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import FormatError
from sweeplens.readers import READERS
from sweeplens.readers.protocol import Reading, Resume
from sweeplens.sources.discover import discover

NAME = "events.out.tfevents.1700000000.host.1.0"
OLD = 1_700_000_000


def curve(tag: str, values: Sequence[float], *, start: float = 1.7e9) -> list[bytes]:
    return [wire.event(start + i, i, wire.scalar(tag, v)) for i, v in enumerate(values)]


def in_pieces(root: Path, file: Path, cuts: Sequence[int]) -> Reading:
    """A file as it grows: read at every cut, each time from where the last reading ended; the points together."""
    whole = file.read_bytes()
    readers = {r.name: r for r in READERS}
    resume: Resume | None = None
    frames: list[pl.DataFrame] = []
    last: Reading | None = None
    for cut in (*cuts, len(whole)):
        file.write_bytes(whole[:cut])
        source = discover([root], READERS).sources[0]
        last = readers[source.reader].read(source, resume)
        frames = [*frames, last.points] if resume else [last.points]
        resume = last.resume
    assert last is not None
    return Reading(last.runs, pl.concat(frames), last.problems, last.resume)


# --- TensorBoard


def test_simple_values_and_tensors_read_alike(tmp_path: Path) -> None:
    wire.event_file(tmp_path / "run" / NAME, [
        wire.event(1.7e9, 0, wire.scalar("loss", 0.5)),
        wire.event(1.7e9 + 1, 1, wire.tensor("acc", 0.25)),
        wire.event(1.7e9 + 2, 300, wire.tensor("acc", 0.75)),
        wire.event(1.7e9 + 3, 70_000, wire.tensor("double", 1 / 3, "<d", 2)),
        wire.event(1.7e9 + 4, 1 << 40, wire.tensor("int", 7, "<q", 9, plugin="")),
        wire.event(1.7e9 + 5, -1, wire.tensor("half", 1.5, "<e", 19)),
    ])  # fmt: skip
    found = read_folder(tmp_path)
    assert found.series("run", "acc") == ([1, 300], [0.25, 0.75])
    assert found.series("run", "double") == ([70_000], [1 / 3])
    assert found.series("run", "int") == ([1 << 40], [7.0])
    assert found.series("run", "half") == ([-1], [1.5])
    assert found.series("run", "loss") == ([0], [0.5])
    assert found.readings[0].points["wall_time"][0].timestamp() == 1.7e9


def test_many_events_of_many_tags_keep_their_order_and_every_value(tmp_path: Path) -> None:
    rows = [
        (f"metric/{i % 7}", i // 7, math.nan if i % 50 == 3 else math.inf if i % 50 == 7 else i / 3)
        for i in range(9000)
    ]
    wire.event_file(tmp_path / "run" / NAME, [wire.event(1.7e9 + s, s, wire.scalar(t, v)) for t, s, v in rows])
    found = read_folder(tmp_path)
    for tag in {t for t, _, _ in rows}:
        steps, values = found.series("run", tag)
        wanted = [(s, struct.unpack("<f", struct.pack("<f", v))[0]) for t, s, v in rows if t == tag]
        assert steps == [s for s, _ in wanted]
        assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, (_, b) in zip(values, wanted, strict=True))


def test_an_event_may_hold_several_values_and_other_tags_are_counted(tmp_path: Path) -> None:
    both = wire.event(1.7e9, 1, wire.scalar("a", 1.0), wire.scalar("b", 2.0), wire.histogram("weights"))
    text = wire.event(1.7e9, 2, wire.tensor("note", 0.0, "<f", 7, plugin="text"), wire.histogram("weights"))
    wire.event_file(tmp_path / "run" / NAME, [both, text, both])
    found = read_folder(tmp_path)
    assert found.series("run", "a") == ([1, 1], [1.0, 1.0])
    assert found.series("run", "b") == ([1, 1], [2.0, 2.0])
    assert found.runs["run"].non_scalar == {"weights": 3, "note": 1}


def test_a_session_folder_and_its_parent_are_one_run(tmp_path: Path) -> None:
    wire.event_file(tmp_path / "run" / NAME, curve("val/loss", [3.0, 2.0]))
    said = [wire.experiment("lr"), wire.session_start({"lr": 0.1, "opt": "sgd", "amp": True}, "g"), wire.session_end(1)]
    final = [wire.scalar("val/loss", 2.0), wire.scalar("hparam/best", 1.0)]
    wire.event_file(tmp_path / "run" / "17000.5" / NAME, [wire.event(1.7e9 + 9, 0, v) for v in (*said, *final)])
    found = read_folder(tmp_path)
    run = found.runs["run"]
    assert set(found.runs) == {"run"}
    assert run.hyperparameters == {"lr": 0.1, "opt": "sgd", "amp": True}
    assert (run.status, run.group) == ("finished", "g")
    assert found.series("run", "val/loss") == ([0, 1], [3.0, 2.0])
    assert found.series("run", "hparam/val/loss") == ([0], [2.0])
    assert found.series("run", "hparam/best") == ([0], [1.0])


def test_sessions_of_one_writer_with_different_hyperparameters_are_runs_of_their_own(tmp_path: Path) -> None:
    wire.event_file(tmp_path / "sweep" / NAME, [])  # the writer's own file: nothing was logged to it
    for index, lr in enumerate((0.1, 0.2)):
        said = [wire.experiment("lr"), wire.session_start({"lr": lr}), wire.session_end(2), wire.scalar("acc", lr)]
        wire.event_file(tmp_path / "sweep" / f"170000000{index}.5" / NAME, [wire.event(1.7e9, 0, v) for v in said])
    found = read_folder(tmp_path)
    assert [r.hyperparameters for r in found.runs.values()] == [{"lr": 0.1}, {"lr": 0.2}]
    assert [r.status for r in found.runs.values()] == ["failed", "failed"]


def test_folders_of_add_scalars_and_of_splits_are_of_their_run_and_other_folders_are_runs(tmp_path: Path) -> None:
    wire.event_file(tmp_path / "run" / NAME, curve("lr", [0.1]))
    wire.event_file(tmp_path / "run" / "val_loss_ema" / NAME, curve("val/loss", [1.0, 0.5]))
    wire.event_file(tmp_path / "run" / "val" / "loss" / "raw" / NAME, curve("val/loss", [3.0]))
    wire.event_file(tmp_path / "run" / "eval" / NAME, curve("val/loss", [7.0]))
    wire.event_file(tmp_path / "run" / "other" / NAME, curve("val/loss", [8.0]))
    found = read_folder(tmp_path)
    assert set(found.runs) == {"run", "run/other"}
    assert found.series("run", "eval/val/loss") == ([0], [7.0])
    assert found.series("run", "val_loss_ema/val/loss") == ([0, 1], [1.0, 0.5])
    assert found.series("run", "val/loss/raw") == ([0], [3.0])


def test_trials_that_a_search_wrote_below_its_own_event_file_are_runs_of_their_own(tmp_path: Path) -> None:
    wire.event_file(tmp_path / "search" / NAME, [wire.event(1.7e9, 0, wire.experiment("units"))])
    for units in (16.0, 32.0):
        begin = wire.event(1.7e9, 0, wire.session_start({"units": units}, f"trial {units}"))
        file = tmp_path / "search" / f"run-{units:.0f}" / f"{NAME}.v2"
        wire.event_file(
            file,
            [
                begin,
                wire.event(1.7e9, 0, wire.tensor("accuracy", units)),
                wire.event(1.7e9 + 1, 0, wire.session_end(1)),
            ],
        )
    found = read_folder(tmp_path)
    assert [found.runs[f"search/run-{u}"].hyperparameters for u in (16, 32)] == [{"units": 16.0}, {"units": 32.0}]
    assert found.runs["search/run-16"].status == "finished"
    assert found.series("search/run-32", "accuracy") == ([0], [32.0])


def test_an_end_that_was_written_before_training_went_on_says_nothing(tmp_path: Path) -> None:
    said = [
        wire.session_start({"config/lr": 0.1, "config/seed": 1.0}),
        wire.session_end(1),
        wire.scalar("hp_metric", -1.0),
    ]
    first = [wire.event(1.7e9, 0, v) for v in said]
    wire.event_file(tmp_path / "version_0" / NAME, [*first, *curve("loss", [2.0, 1.0], start=1.7e9 + 1)])
    (tmp_path / "version_0" / "hparams.yaml").write_text("config:\n  lr: 0.1\nname: mlp\n")
    run = read_folder(tmp_path).runs["version_0"]
    assert run.status == ""
    assert run.hyperparameters == {"config": {"lr": 0.1}, "name": "mlp", "config/seed": 1.0}


def test_files_of_a_folder_are_read_by_time_and_number(tmp_path: Path) -> None:
    for index, name in enumerate(("1700000000.h.1.9", "1700000000.h.1.10", "1700000500.h.1.2")):
        wire.event_file(
            tmp_path / "run" / f"events.out.tfevents.{name}", [wire.event(1.7e9, 4, wire.scalar("loss", index))]
        )
    assert read_folder(tmp_path).series("run", "loss") == ([4, 4, 4], [0.0, 1.0, 2.0])


def test_events_beside_a_table_of_the_same_run_are_a_copy_of_it(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n')
    wire.event_file(tmp_path / NAME, curve("loss", [1.0]))
    found = read_folder(tmp_path)
    assert [s.reader for s in found.sources] == ["json_steps"]
    assert [Path(c).name for c in found.sources[0].copies] == [NAME]


def test_a_file_with_another_content_is_not_taken_for_its_name(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no events at all, but longer than a record's head")
    found = read_folder(tmp_path)
    assert not found.sources
    assert len(found.refused) == 1


def test_an_event_file_with_only_its_header_or_nothing_is_a_run_without_points(tmp_path: Path) -> None:
    wire.event_file(tmp_path / "header" / NAME, [])
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / NAME).write_bytes(b"")
    found = read_folder(tmp_path)
    assert set(found.runs) == {"header", "nothing"}
    assert not found.metrics("header")


# --- W&B

ROWS = [
    wire.wandb_row({"loss": 2.5, "_step": 0, "_timestamp": 1.7e9}),
    wire.wandb_row({("loss",): 1.5, ("acc",): b"NaN", ("_timestamp",): 1.7e9 + 1}, step=1),
    wire.wandb_row({"loss": b"Infinity", "acc": "-Infinity", "note": "text", "flag": True, "_step": 5}),
]


def test_rows_of_old_and_new_clients_read_alike(tmp_path: Path) -> None:
    wire.wandb_file(tmp_path / "wandb" / "run-20231114_221320-abc", "abc", [*ROWS, wire.wandb_exit(0)])
    found = read_folder(tmp_path)
    run = "run-20231114_221320-abc"
    assert found.series(run, "loss") == ([0, 1, 5], [2.5, 1.5, math.inf])
    steps, values = found.series(run, "acc")
    assert steps == [1, 5]
    assert math.isnan(values[0])
    assert values[1] == -math.inf
    assert found.runs[run].non_scalar == {"note": 1, "flag": 1}
    assert found.metrics(run) == {"loss", "acc"}


def test_nested_values_are_joined_with_dots_and_histograms_are_counted_once_a_row(tmp_path: Path) -> None:
    new = {("eval", "acc"): 0.5, ("weights", "_type"): "histogram", ("weights", "values"): [1], ("weights", "bins"): 2}
    old = {"eval": {"acc": 0.75, "per": {"a": 1}}, "weights": {"_type": "histogram", "count": 3}}
    rows = [wire.wandb_row(new, step=0), wire.wandb_row(old, step=1)]
    wire.wandb_file(tmp_path / "run-x", "x", rows)
    found = read_folder(tmp_path)
    assert found.series("run-x", "eval.acc") == ([0, 1], [0.5, 0.75])
    assert found.metrics("run-x") == {"eval.acc", "eval.per.a"}
    assert found.runs["run-x"].non_scalar == {"weights": 2}


def test_a_run_is_described_by_its_records_and_by_the_files_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "wandb" / "run-20231114_221320-abc"
    begin = wire.wandb_run("abc", "brave-sky-1", {"lr": 0.1, "_wandb": {}, "model": {"depth": 3}}, "group a")
    late = [wire.wandb_config({"seed": 1}), wire.wandb_config({("model", "width"): 64})]
    last = wire.wandb_summary({"loss": 1.0, "best": 0.25, "_runtime": 3})
    wire.wandb_file(folder, "abc", [begin, *late, *ROWS, last, wire.wandb_exit(255)])
    (folder / "files").mkdir()
    (folder / "files" / "config.yaml").write_text("wandb_version: 1\nlr:\n  desc: null\n  value: 0.2\n")
    (folder / "files" / "wandb-metadata.json").write_text('{"program": "train.py", "git": {"commit": "c0ffee"}}')
    (folder / "files" / "output.log").write_text('{"step": 1, "loss": 99}\n')
    found = read_folder(tmp_path)
    run = found.runs[folder.name]
    assert (run.name, run.group, run.tags, run.status) == ("brave-sky-1", "group a", ("tag a", "tag b"), "failed")
    assert run.hyperparameters == {"lr": 0.2, "model": {"depth": 3, "width": 64}, "seed": 1}
    assert run.metadata["wandb_run_id"] == "abc"
    assert run.metadata["summary"] == {"best": 0.25}
    assert run.metadata["git_commit"] == "c0ffee"
    assert run.created_at is not None
    assert run.created_at.timestamp() == OLD
    assert len(found.runs) == 1


def test_a_run_without_an_end_has_crashed_once_it_is_silent_for_long(tmp_path: Path) -> None:
    now = time.time()
    wire.wandb_file(tmp_path / "run-a", "a", [wire.wandb_row({"loss": 1.0, "_timestamp": now - 30})])
    log = wire.wandb_file(tmp_path / "run-b", "b", [wire.wandb_row({"loss": 1.0, "_timestamp": now - 7200})])
    os.utime(log, (now - 7200, now - 7200))
    assert [r.status for r in read_folder(tmp_path).runs.values()] == ["", "crashed"]


@pytest.mark.parametrize("kind", ["link", "copy", "text"])
def test_latest_run_is_counted_once(tmp_path: Path, kind: str) -> None:
    for run, day in (("a", 10), ("b", 11)):
        wire.wandb_file(tmp_path / "wandb" / f"offline-run-202311{day}_000000-{run}", run, ROWS)
    newest, latest = tmp_path / "wandb" / "offline-run-20231111_000000-b", tmp_path / "wandb" / "latest-run"
    if kind == "link":
        latest.symlink_to(newest.name)
    elif kind == "copy":
        wire.wandb_file(latest, "b", ROWS)
    else:
        latest.write_text(newest.name)
    found = read_folder(tmp_path)
    assert set(found.runs) == {"offline-run-20231110_000000-a", "offline-run-20231111_000000-b"}
    assert len(found.sources[1].copies) == (kind != "link")
    assert not found.refused


def test_latest_run_is_the_run_where_it_is_alone(tmp_path: Path) -> None:
    wire.wandb_file(tmp_path / "wandb" / "latest-run", "b", ROWS)
    wire.wandb_file(tmp_path / "wandb" / "run-20231110_000000-a", "a", ROWS)
    assert set(read_folder(tmp_path).runs) == {"latest-run", "run-20231110_000000-a"}


def test_a_record_may_go_over_many_blocks(tmp_path: Path) -> None:
    long = wire.wandb_row({"note": "x" * 100_000, "loss": 4.0}, step=2)
    wire.wandb_file(tmp_path / "run-x", "x", [ROWS[0], long, *ROWS[1:], long])
    found = read_folder(tmp_path)
    assert found.series("run-x", "loss")[1] == [2.5, 4.0, 1.5, math.inf, 4.0]


@pytest.mark.parametrize(("size", "torn"), [(0, True), (3, True), (7, False)])
def test_a_run_killed_before_it_wrote_is_a_run_without_points(tmp_path: Path, size: int, torn: bool) -> None:
    file = wire.wandb_file(tmp_path / "run-x", "x", ROWS)
    file.write_bytes(file.read_bytes()[:size])
    found = read_folder(tmp_path)
    assert set(found.runs) == {"run-x"}
    assert [p.kind for p in found.problems] == ["torn"] * torn


def test_a_directory_without_its_record_file_gives_the_last_values_with_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "wandb" / "run-20231114_221320-abc" / "files"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("wandb_version: 1\n_wandb:\n  value: {}\nlr:\n  value: 0.2\n")
    (folder / "wandb-summary.json").write_text('{"loss": NaN, "eval": {"acc": 0.5}, "h": {"_type": "x"}, "_step": 41}')
    found = read_folder(tmp_path)
    run = found.runs["run-20231114_221320-abc"]
    assert run.hyperparameters == {"lr": 0.2}
    assert run.non_scalar == {"h": 1}
    assert found.series(run.id, "eval.acc") == ([41], [0.5])
    assert found.metrics(run.id) == {"loss", "eval.acc"}
    assert [p.kind for p in found.problems] == ["warning"]
    assert not found.refused


# --- SwanLab


def test_swanlab_runs_read_with_name_end_and_hyperparameters(tmp_path: Path) -> None:
    folder = tmp_path / "run-20231114_221320-abc"
    values = [wire.swan_scalar("loss", 0, 2.0), wire.swan_scalar("loss", 1, math.nan), wire.swan_scalar("acc", 1, 0.0)]
    system = [wire.swan_column("cpu", system=True), wire.swan_scalar("cpu", 0, 50.0), wire.swan_media("image", 1)]
    records = [wire.swan_start("first try", "abc"), *values, *system, wire.swan_finish(3, "stopped")]
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "config.yaml").write_text("lr:\n  desc: ''\n  sort: 0\n  value: 0.1\n")
    (folder / "run-abc.swanlab").write_bytes(wire.blocks(wire.SWANLAB, records))
    found = read_folder(tmp_path)
    run = found.runs[folder.name]
    assert found.metrics(folder.name) == {"loss", "acc"}
    assert found.series(folder.name, "acc") == ([1], [0.0])
    assert math.isnan(found.series(folder.name, "loss")[1][1])
    assert (run.name, run.status, run.group, run.tags) == ("first try", "killed", "group", ("tag a",))
    assert run.hyperparameters == {"lr": 0.1}
    assert run.non_scalar == {"image": 1}
    assert run.metadata["error"] == "stopped"


def test_an_unknown_version_of_the_format_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "run-x.swanlab").write_bytes(wire.blocks(b":SWL\xd6\xe1\x01", [b"{}"]))
    with pytest.raises(FormatError, match="version 1"):
        read_folder(tmp_path)


# --- damage, and files that grow


def samples(folder: Path) -> dict[str, tuple[Path, str]]:
    """One file of each format, and its run."""
    many = [wire.wandb_row({"loss": i / 7, "note": "x" * 900, "_timestamp": time.time()}, step=i) for i in range(60)]
    swan = [wire.swan_scalar("loss", i, i / 7, int(time.time())) for i in range(600)]
    board = [wire.event(1.7e9 + i, i, wire.scalar("loss", i / 7), *[wire.histogram("w")] * (i % 2)) for i in range(60)]
    (folder / "swan" / "run-s").mkdir(parents=True)
    swan_file = folder / "swan" / "run-s" / "run-s.swanlab"
    swan_file.write_bytes(wire.blocks(wire.SWANLAB, [wire.swan_start("s", "s", int(time.time())), *swan]))
    return {
        "tensorboard": (wire.event_file(folder / "tb" / "run" / NAME, board), "run"),
        "wandb": (wire.wandb_file(folder / "wb" / "run-w", "w", many), "run-w"),
        "swanlab": (swan_file, "run-s"),
    }


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "swanlab"])
def test_a_flipped_bit_ends_the_file_with_a_problem_that_says_where(tmp_path: Path, name: str) -> None:
    file, run = samples(tmp_path)[name]
    root = file.parent.parent
    whole = read_folder(root).series(run, "loss")[1]
    data = bytearray(file.read_bytes())
    data[len(data) * 2 // 3] ^= 0x10
    file.write_bytes(data)
    found = read_folder(root)
    values = found.series(run, "loss")[1]
    assert 0 < len(values) < len(whole)
    assert values == whole[: len(values)]
    assert [p.kind for p in found.problems] == ["malformed"]
    assert " at byte " in found.problems[0].reason


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "swanlab"])
def test_a_torn_tail_is_torn_and_is_read_once_it_is_complete(tmp_path: Path, name: str) -> None:
    file, run = samples(tmp_path)[name]
    root = file.parent.parent
    whole = read_folder(root).readings[0]
    size = file.stat().st_size
    cuts = sorted({*range(1, size, size // 23), 7, 12, 16, 32_767, 32_768, 32_769, size - 1} & set(range(size)))
    file_data = file.read_bytes()
    file.write_bytes(file_data[:-1])
    assert [p.kind for p in read_folder(root).problems] == ["torn"]
    file.write_bytes(file_data)
    pieces = in_pieces(root, file, cuts)
    assert pieces.points.equals(whole.points)
    assert not pieces.problems
    assert pieces.runs[0].non_scalar == whole.runs[0].non_scalar
    assert pieces.runs[0].status == whole.runs[0].status
    assert run == pieces.runs[0].id


def test_a_length_beyond_the_end_of_the_file_is_not_believed(tmp_path: Path) -> None:
    file = wire.event_file(tmp_path / "run" / NAME, curve("loss", [1.0]))
    length = struct.pack("<Q", 1 << 50)
    file.write_bytes(file.read_bytes() + length + wire.masked(length) + b"rest")
    found = read_folder(tmp_path)
    assert found.series("run", "loss") == ([0], [1.0])
    assert [p.kind for p in found.problems] == ["torn"]


def test_zeros_that_a_crash_left_at_the_end_are_torn_not_damaged(tmp_path: Path) -> None:
    for file, run in samples(tmp_path).values():
        file.write_bytes(file.read_bytes() + bytes(100))
        found: Found = read_folder(file.parent.parent)
        assert len(found.series(run, "loss")[1]) in (60, 600)
        assert [p.kind for p in found.problems] == ["torn"]


def test_records_that_hold_but_are_no_messages_are_counted_and_left_out(tmp_path: Path) -> None:
    bad: Callable[[int], bytes] = lambda n: wire.field(n, b"\x0a\xff\xff\xff\xff\x0f")  # noqa: E731
    wire.event_file(tmp_path / "tb" / NAME, [*curve("loss", [1.0]), bad(5), *curve("loss", [2.0])])
    wire.wandb_file(tmp_path / "run-w", "w", [ROWS[0], bad(2), bad(5), ROWS[1]])
    found = read_folder(tmp_path)
    assert found.series("tb", "loss")[1] == [1.0, 2.0]
    assert found.series("run-w", "loss")[1] == [2.5, 1.5]
    assert sorted(p.reason.split(" ")[0] for p in found.problems) == ["1", "2"]


def test_records_with_right_checksums_and_damaged_contents_never_crash_a_reader(tmp_path: Path) -> None:
    dice = random.Random(7)
    said = [wire.experiment("lr"), wire.session_start({"lr": 0.1, "opt": "sgd"}, "g"), wire.session_end(1)]
    values = [wire.scalar("a", 1.0), wire.tensor("b", 2.0), wire.tensor("c", 3, "<q", 9), wire.histogram("h"), *said]
    board = [wire.event(1.7e9, 200 + i, v) for i, v in enumerate(values)]
    hist = {("w", "_type"): "histogram", ("w", "bins"): [1, 2]}
    begin = wire.wandb_run("w", "name", {"lr": 0.1, "m": {"n": 1}}, "g")
    bees = [begin, *ROWS, wire.wandb_row(hist, 3), wire.wandb_config({("m", "k"): 1}), wire.wandb_summary({"best": 1})]
    swan = [wire.swan_start("s", "s"), wire.swan_scalar("a", 1, 2.0), wire.swan_media("i", 1), wire.swan_finish(1)]
    for turn in range(int(os.environ.get("SWEEPLENS_FUZZ", "100"))):
        wire.event_file(tmp_path / "tb" / NAME, [damaged(r, dice) for r in board * 2])
        wire.wandb_file(tmp_path / "run-w", "w", [damaged(r, dice) for r in [*bees, wire.wandb_exit(1)] * 2])
        (tmp_path / "run-s").mkdir(exist_ok=True)
        (tmp_path / "run-s" / "run-s.swanlab").write_bytes(
            wire.blocks(wire.SWANLAB, [damaged(r, dice) for r in swan * 2])
        )
        found = read_folder(tmp_path)
        assert {s.reader for s in found.sources} == {"tensorboard", "wandb", "swanlab"}, f"turn {turn}"


def damaged(record: bytes, dice: random.Random) -> bytes:
    """A record with one change, in half of the cases."""
    some = bytearray(record)
    at = dice.randrange(len(some))
    match dice.randrange(6):
        case 0:
            some[at] ^= 1 << dice.randrange(8)
        case 1:
            some[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 2:
            del some[at : at + dice.choice((1, 5, len(some)))]
        case _:
            pass
    return bytes(some)


# --- Hydra


def test_a_hydra_job_has_its_overrides_and_its_sweep(tmp_path: Path) -> None:
    sweep = tmp_path / "multirun" / "2026-01-05" / "10-00-00"
    job = sweep / "lr=0.1,seed=1"
    (job / ".hydra").mkdir(parents=True)
    (sweep / "multirun.yaml").write_text("hydra: {}\n")
    (job / ".hydra" / "config.yaml").write_text("lr: 0.1\nname: ${model}-x\n")
    (job / ".hydra" / "overrides.yaml").write_text("- lr=0.1\n- +seed=1\n")
    (job / "metrics.jsonl").write_text('{"step": 0, "split": "val", "loss": 1.0}\n')
    wire.event_file(job / "tb" / NAME, curve("loss", [1.0]))
    found = read_folder(tmp_path)
    assert len(found.runs) == 2
    for run in found.runs.values():
        assert run.metadata["overrides"] == ["lr=0.1", "+seed=1"]
        assert run.group == "multirun/2026-01-05/10-00-00"
        assert run.hyperparameters == {"lr": 0.1, "name": "${model}-x"}
    assert found.metrics("multirun/2026-01-05/10-00-00/lr=0.1,seed=1") == {"val/loss"}


# --- through a database that follows the files


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "swanlab"])
def test_a_database_follows_a_log_that_grows_and_ends_where_a_fresh_one_begins(tmp_path: Path, name: str) -> None:
    file, _ = samples(tmp_path)[name]
    whole = file.read_bytes()
    followed = AnalysisConfig(cache="memory", refresh_seconds=0)
    file.write_bytes(whole[:100])
    db = ExperimentDB(followed, base_path=file.parent.parent)
    for size in (400, 2000, len(whole) // 2, len(whole) - 3, len(whole)):
        with file.open("ab") as stream:
            stream.write(whole[file.stat().st_size : size])
        db.load_experiments()
        fresh = ExperimentDB(followed, base_path=file.parent.parent)
        fresh.load_experiments()
        assert db.lazy_query(raw=True).collect().equals(fresh.lazy_query(raw=True).collect())
        assert db.runs_df.drop("updated_at").equals(fresh.runs_df.drop("updated_at"))
    assert db.lazy_query(raw=True).collect().height in (60, 600)
