"""Which runs are made once more: not those that their settings doom, by their own plan, and before untried settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.frames import points_of, runs_of, series_of
from support.planted import Row, database, run

from sweeplens.analyses.suggestions import suggest
from sweeplens.answers import Answer

_NO_MEMORY = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate {} MiB"


def _grid(folder: Path, ends: Mapping[tuple[int, int], Sequence[str]], status: str = "failed") -> Answer:
    """Suggests runs for a grid of width and batch with three seeds; the runs of cells in ``ends`` fail with these last words."""
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    for width in (256, 512, 1024):
        for batch in (64, 256, 1024):
            for seed in range(3):
                settings = {"width": width, "batch_size": batch, "seed": seed}
                words = ends.get((width, batch), ())
                metadata = {"status": status, "ended_with": words[seed]} if words else {"status": "finished"}
                curve = [] if words else list(0.5 + width / 2048 + 0.001 * rng.normal(size=20))
                rows.append(run(f"w{width}b{batch}s{seed}", settings, metadata, val_acc=curve))
    return database(folder, rows).suggest("val/acc", 12)


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_runs_whose_settings_always_run_out_of_memory_are_not_made_once_more(tmp_path: Path, status: str) -> None:
    answer = _grid(tmp_path, {(1024, 1024): [_NO_MEMORY.format(n) for n in (20, 512, 8)]}, status)
    assert "redo" not in answer.table["reason"].to_list()
    (told,) = [n for n in answer.notes if n.startswith("Not to be made once more")]
    assert told.startswith(
        "Not to be made once more: width=1024 batch_size=1024: all 3 runs with it failed in the same way (torch.cuda."
    )
    assert not any("width=1024 batch_size=1024" in line for lines in answer.table["settings"] for line in lines)


def test_one_setting_that_always_fails_is_named_alone(tmp_path: Path) -> None:
    answer = _grid(tmp_path, {(1024, b): ["KeyError: 'scale'"] * 3 for b in (64, 256, 1024)})
    assert any("width=1024: all 9 runs with it failed in the same way (KeyError" in n for n in answer.notes)


def test_runs_that_failed_in_different_ways_or_not_always_are_made_once_more(tmp_path: Path) -> None:
    words = ["OSError: [Errno 116] Stale file handle", "KeyError: 'x'", "RuntimeError: NCCL timeout"]
    several = _grid(tmp_path / "several", {(1024, 1024): words})
    assert several.table["n_runs"][0] == 3
    assert several.table["reason"][0] == "redo"
    stopped = _grid(tmp_path / "stopped", {(1024, 1024): ["DUE TO TIME LIMIT"] * 3}, "killed")
    assert stopped.table["reason"][0] == "redo"


def _asked(
    lasts: Mapping[str, tuple[int, Mapping[str, object], str]], values: Mapping[str, float] | None = None
) -> Answer:
    """Suggests runs for these: name -> last step, settings, status."""
    points = points_of(
        {n: {"val/loss": ([0, end], [9.0, (values or {}).get(n, 1.0)])} for n, (end, _, _) in lasts.items()}
    )
    runs = runs_of(
        points, {n: own for n, (_, own, _) in lasts.items()}, status={n: status for n, (_, _, status) in lasts.items()}
    )
    return suggest(runs, series_of(points), points.lazy(), "val/loss", budget=8, replicates=("seed",))


@pytest.mark.parametrize("plan", ["total_timesteps", "epochs"])
def test_a_run_that_was_cut_off_is_measured_by_its_own_plan(plan: str) -> None:
    lengths = {"ppo": 3000, "sac": 1000}
    lasts = {
        f"{algo}{seed}": (600 if (algo, seed) == ("sac", 1) else n, {"algo": algo, plan: n, "seed": seed}, "finished")
        for algo, n in lengths.items()
        for seed in range(3)
    }
    lasts["sac1"] = (600, lasts["sac1"][1], "killed")
    lasts["sac2"] = (1000, lasts["sac2"][1], "killed")  # at its end
    (why,) = _asked(lasts).table.filter(reason="redo")["why"]
    assert "lost 1 run (killed at step 600 of 1000)" in why


def test_missing_repetitions_and_ties_come_before_untried_settings() -> None:
    lasts: dict[str, tuple[int, Mapping[str, object], str]] = {}
    values: dict[str, float] = {}
    for lr, level in ((0.1, 0.9), (0.2, 0.507), (0.4, 0.5)):
        for seed in range(5):
            if (lr, seed) in ((0.2, 1), (0.2, 4)):
                continue
            name = f"{lr}-{seed}"
            lasts[name] = (10, {"lr": lr, "seed": seed}, "finished")
            values[name] = level + 0.004 * (seed - 2)
    answer = _asked(lasts, values)
    assert answer.table["reason"].to_list()[:2] == ["missing", "tie"]
    assert answer.table["settings"][0].to_list() == ["lr=0.2 seed=1", "lr=0.2 seed=4"]
    assert "has 3 runs, 2 of 3 settings have 5: it lacks seed 1, 4" in answer.table["why"][0]
    assert answer.table["reason"].to_list()[2:] == ["edge"]
    assert answer.table["n_runs"].sum() <= 8
