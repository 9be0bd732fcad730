"""A realistic synthetic sweep with known effects, for `sweeplens demo` and for tests.

    plan_sweep()             the 60 runs as data: learning rate x batch size x seed, and how each run ends
    write_sweep(folder)      the runs as folders: ``metrics.jsonl`` (one step a line) beside a config
    grow(folder)             appends some lines to the live run, as if training continued

Known effects: the learning rate matters (best 0.03), the batch size does not, weight decay is perfectly confounded with the
learning rate, and at 0.3 some runs diverge. One run crashed in the middle of a line, one is still running, one was resumed
and repeats steps, one has malformed lines, one a broken config. The same arguments write the same bytes on every machine.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import yaml
from msgspec import Struct

from sweeplens.errors import InputError

__all__ = ["BEST_LR", "DEMO_MARK", "Ending", "PlannedRun", "grow", "plan_sweep", "write_sweep"]

Ending = Literal["finished", "diverged", "crashed", "live", "resumed", "malformed", "bad_config"]

DEMO_MARK = ".sweeplens-demo"
BEST_LR = 0.03
_WEIGHT_DECAY = {0.001: 0.01, 0.003: 0.003, 0.01: 0.001, 0.03: 0.0003, 0.1: 0.0001, 0.3: 0.00003}
_EVERY = 10  # steps between two training rows
_STEPS_PER_EPOCH = 50
_SECONDS_PER_STEP = 0.35
_LIVE_SHARE = 0.6
_ANCHOR = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class PlannedRun(Struct, frozen=True):
    """The plan of one run of the sweep."""

    lr: float
    batch_size: int
    seed: int
    ending: Ending = "finished"
    epochs: int = 20

    @property
    def name(self) -> str:
        """Returns the name of its folder, which is also its run id."""
        return f"lr{self.lr:g}_bs{self.batch_size}_s{self.seed}"

    @property
    def steps(self) -> int:
        """Returns its planned last step."""
        return self.epochs * _STEPS_PER_EPOCH

    @property
    def config(self) -> dict[str, object]:
        """Returns its hyperparameters, nested."""
        optim = {"name": "sgd", "lr": self.lr, "momentum": 0.9, "weight_decay": _WEIGHT_DECAY.get(self.lr, 0.0005)}
        return {
            "seed": self.seed,
            "model": {"name": "resnet18", "width": 64, "dropout": None},
            "optim": optim,
            "data": {"dataset": "cifar10", "batch_size": self.batch_size, "augment": ["crop", "flip"]},
            "train": {"epochs": self.epochs, "amp": True},
        }


def plan_sweep(
    *, lrs: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1), seeds: int = 5, epochs: int = 20
) -> tuple[PlannedRun, ...]:
    """Returns the runs of the demo: a full grid in which one run has malformed lines, then the runs with special endings."""
    middle = lrs[len(lrs) // 2]
    grid = (
        PlannedRun(lr, bs, seed, "malformed" if (lr, bs, seed) == (middle, 128, 1) else "finished", epochs)
        for lr in lrs
        for bs in (64, 128)
        for seed in range(seeds)
    )
    unstable = (
        PlannedRun(0.3, bs, seed, "diverged" if seed < 2 else "finished", epochs)
        for bs in (64, 128)
        for seed in range(3)
    )
    events: tuple[tuple[float, int, Ending], ...] = (
        (middle, 128, "crashed"),
        (BEST_LR, 64, "live"),
        (lrs[1], 64, "resumed"),
        (lrs[-1], 128, "bad_config"),
    )
    return (*grid, *unstable, *(PlannedRun(lr, bs, seeds, ending, epochs) for lr, bs, ending in events))


def write_sweep(
    folder: str | Path, *, runs: Sequence[PlannedRun] | None = None, now: datetime | None = None
) -> tuple[PlannedRun, ...]:
    """Writes the runs below a folder that is new, empty or an earlier demo. Raises InputError for any other.

    ``now``: the time of the live run's last line (by default a fixed day, so that the bytes are always the same).
    """
    root = Path(folder)
    if root.is_dir() and any(root.iterdir()) and not (root / DEMO_MARK).is_file():
        raise InputError(f"{str(root)!r} is not empty and not a demo: pass a new folder. Nothing was written.")
    root.mkdir(parents=True, exist_ok=True)
    (root / DEMO_MARK).write_text("Written by `sweeplens demo`; it can be deleted.\n", encoding="utf-8")
    planned = tuple(plan_sweep() if runs is None else runs)
    for number, run in enumerate(planned):
        # Two graphics cards ran them one after the other; the live run's last line is written now.
        remaining = run.steps * (_LIVE_SHARE if run.ending == "live" else 1 + (len(planned) - number) / 2)
        _write_run(root / run.name, run, (now or _ANCHOR).timestamp() - remaining * _SECONDS_PER_STEP)
    return planned


def grow(folder: str | Path, *, rows: int = 3) -> int:
    """Appends training rows to the live run; returns its last step. Raises InputError if there is none."""
    live = next(p for p in plan_sweep() if p.ending == "live")
    path = Path(folder) / live.name / "metrics.jsonl"
    if not path.is_file():
        raise InputError(f"No live run below {str(folder)!r}: write_sweep writes one.")
    newest = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    done, began = newest["step"], newest["timestamp"] - newest["step"] * _SECONDS_PER_STEP
    last = min(done + rows * _EVERY, live.steps)
    more = [row for row in _rows(live, began) if done < int(str(row["step"])) <= last]
    with path.open("a", encoding="utf-8", newline="\n") as log:
        log.write("".join(map(_line, more)))
    return last


def _write_run(folder: Path, run: PlannedRun, began: float) -> None:
    folder.mkdir(exist_ok=True)
    os.utime(_write_config(folder, run), (began, began))
    text = _log_text(run, list(_rows(run, began)), began)
    path = folder / "metrics.jsonl"
    path.write_text(text, encoding="utf-8", newline="\n")
    share = _LIVE_SHARE if run.ending == "live" else 1.0
    changed = began + run.steps * share * _SECONDS_PER_STEP
    os.utime(path, (changed, changed))


def _write_config(folder: Path, run: PlannedRun) -> Path:
    """Writes JSON for batch size 64 and YAML for 128, as real sweeps mix them."""
    if run.ending == "bad_config":
        name, text = "config.json", '{"seed": 5, "optim": {"lr": 0.1,'
    elif run.batch_size == 64:
        name, text = "config.json", json.dumps(run.config, indent=2)
    else:
        name, text = "config.yaml", yaml.safe_dump(run.config, sort_keys=False).rstrip()
    path = folder / name
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
    return path


def _rows(run: PlannedRun, began: float) -> Iterator[dict[str, object]]:
    """Yields training rows every few steps, and a validation row at the end of each epoch."""
    rng = random.Random(f"{run.name}/{run.ending}")
    quality = _quality(run) + rng.gauss(0, 0.004)
    pace = 0.4 * run.steps / (1 + 2 * math.log10(1 + run.lr / 0.003))
    for step in range(0, run.steps + 1, _EVERY):
        at = {"step": step, "epoch": step // _STEPS_PER_EPOCH, "timestamp": round(began + step * _SECONDS_PER_STEP, 2)}
        progress = 1 - math.exp(-step / pace)
        loss = 2.303 - (2.303 - _floor(quality)) * progress - 0.08 * step / run.steps
        loss += rng.gauss(0, 0.012 + 0.05 * (1 - progress))
        yield {**at, **_train_values(run, step, loss, rng)}
        if step and step % _STEPS_PER_EPOCH == 0:
            yield {**at, **_val_values(run, step, quality, progress, rng)}


def _train_values(run: PlannedRun, step: int, loss: float, rng: random.Random) -> dict[str, float]:
    decayed = run.lr * 0.5 * (1 + math.cos(math.pi * step / run.steps))
    norm = 0.4 + loss * rng.uniform(0.8, 1.2)
    broke = _breaks_at(run)
    if broke and step >= broke:
        remaining = (step - broke) // _EVERY
        loss, norm = (math.nan, math.nan) if remaining >= 4 else (loss * 6.0**remaining, norm * 20.0**remaining)
    acc = math.nan if math.isnan(loss) else min(0.999, max(0.05, 1.01 - 0.39 * loss + rng.gauss(0, 0.008)))
    return {
        "train/loss": round(loss, 5),
        "train/acc": round(acc, 4),
        "optim/lr": round(decayed, 8),
        "grad_norm": round(norm, 4),
    }


def _val_values(run: PlannedRun, step: int, quality: float, progress: float, rng: random.Random) -> dict[str, float]:
    broke = _breaks_at(run)
    if broke and step >= broke + 4 * _EVERY:
        return {"val/loss": math.nan, "val/acc": 0.1}
    late = max(0.0, step / run.steps - 0.6)  # the smallest learning rates do not overfit
    loss = (
        2.303
        - (2.303 - _floor(quality) - 0.09) * progress
        - 0.03 * step / run.steps
        + (0.25 * late if run.lr >= 0.1 else 0)
    )
    acc = 0.09 + (quality - 0.1) * (1 - (1 - progress) ** 1.6) + 0.01 * step / run.steps
    return {
        "val/loss": round(loss + rng.gauss(0, 0.008), 5),
        "val/acc": round(min(0.999, acc + rng.gauss(0, 0.002)), 4),
    }


def _quality(run: PlannedRun) -> float:
    """Returns the final validation accuracy of a run: a parabola in the logarithm of the learning rate."""
    return 0.935 - 0.035 * math.log10(run.lr / BEST_LR) ** 2


def _floor(quality: float) -> float:
    return 0.12 + 2.2 * (0.96 - quality)


def _breaks_at(run: PlannedRun) -> int:
    """Returns the step at which a run begins to diverge; 0: never."""
    return _EVERY * (round(run.steps * (0.3 + 0.1 * run.seed)) // _EVERY) if run.ending == "diverged" else 0


def _log_text(run: PlannedRun, rows: Sequence[Mapping[str, object]], began: float) -> str:
    """Returns the text of ``metrics.jsonl``, with the run's ending."""
    reached = {"crashed": 0.45, "live": _LIVE_SHARE}.get(run.ending, 1.0) * run.steps
    lines = [_line(row) for row in rows if int(str(row["step"])) <= reached]
    if run.ending == "live":
        return "".join(lines)
    if run.ending == "crashed":
        return "".join(lines) + lines[-1][: len(lines[-1]) // 2]
    if run.ending == "resumed":
        lines = _resumed(run, rows)
    if run.ending == "malformed":
        lines[20:20] = ["Epoch 3: lr scheduler step\n", '{"step": 190, "train/loss": 0.9, "train/acc"\n']
    end = {"event": "run_end", "status": "finished", "timestamp": round(began + run.steps * _SECONDS_PER_STEP, 2)}
    return "".join(lines) + json.dumps(end) + "\n"


def _resumed(run: PlannedRun, rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Returns lines of a run that stopped at 60 % and resumed from its checkpoint at 50 %, so steps between are repeated."""
    kept = list(rows)
    first = [_line(r) for r in kept if int(str(r["step"])) <= 0.6 * run.steps]
    repeated = [_line(r) for r in kept if int(str(r["step"])) > 0.5 * run.steps]
    return [*first, *repeated]


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row) + "\n"
