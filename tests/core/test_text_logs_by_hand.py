"""Text logs as people write them: decimal commas, dates of other countries, headings above values, tables with borders."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.reading import read_folder

Series = dict[str, tuple[list[int], list[float]]]


def metrics_of(folder: Path, text: str | bytes, name: str = "train.log") -> Series:
    """Metric -> its steps and values, where one file is one run without a problem."""
    path = folder / "exp" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = read_folder(folder / "exp")
    (run,) = {r for reading in found.readings for r in reading.points["run_id"].unique()}
    assert not [p for reading in found.readings for p in reading.problems]
    return {m: found.series(run, m) for m in found.metrics(run)}


HEADED = "".join(
    f"=== Epoch {e} ===\nTrain:\n  loss = {1 / e:.3f}\n  acc  = {e * 10}.0\nTest:\n  loss = {1.5 / e:.3f}\n  acc  = {e * 9}.5\n"
    for e in (1, 2, 4)
)
PYTEXT = "".join(
    f"\nEpoch:{e}\nStage.TRAIN\nloss: {0.9 - e / 10:.1f}\n\nStage.EVAL\nloss: {1 - e / 10:.1f}\n\n" for e in (1, 2, 3)
)
PASSING = "".join(
    f"Epoch {e} loss {1 - e / 10:.1f}\n  lr: 0.{e}\n[Validation results]\n  loss: {2 - e / 10:.1f}\n" for e in (1, 2, 3)
)
RICH = """┏━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━┓
┃ epoch ┃ train loss ┃ val loss ┃
┡━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━┩
│     1 │     0.9000 │   1.0000 │
│     2 │     0.8000 │   0.9500 │
│     3 │     0.7000 │   0.9200 │
└───────┴────────────┴──────────┘
"""
GRID = (
    "+---------+--------+\n|   epoch |   loss |\n+=========+========+\n|       1 |   0.90 |\n+---------+--------+\n"
    "|       2 |   0.80 |\n+---------+--------+\n|       3 |   0.70 |\n+---------+--------+\n"
)
SKORCH = """  epoch    train_loss    valid_acc    cp     dur
-------  ------------  -----------  ----  ------
      1        \x1b[36m0.6868\x1b[0m       \x1b[32m0.6000\x1b[0m     +  0.0447
      2        0.6914       0.5900        0.0331
      3        \x1b[36m0.6500\x1b[0m       \x1b[32m0.6400\x1b[0m     +  0.0332
"""
ULTRALYTICS = "".join(
    f"""
      Epoch    GPU_mem   box_loss   Instances       Size
        {e}/3      2.38G      1.{e}94         2{e}        640: 100%|██████████| 8/8 [00:02<00:00,  3.68it/s]
                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|████| 4/4 [00:00<00:00,  5.35it/s]
                   all        128        929      0.6{e}5      0.562      0.6{e}8      0.465
                person         61        254      0.7{e}5      0.662      0.7{e}8      0.565
"""
    for e in (1, 2, 3)
)
LOGS: dict[str, tuple[str, Series]] = {
    "headings of splits": (
        HEADED,
        {"train/loss": ([1, 2, 4], [1, 0.5, 0.25]), "test/loss": ([1, 2, 4], [1.5, 0.75, 0.375]),
         "train/acc": ([1, 2, 4], [10, 20, 40]), "test/acc": ([1, 2, 4], [9.5, 18.5, 36.5])},
    ),
    "PyText": (PYTEXT, {"train/loss": ([1, 2, 3], [0.8, 0.7, 0.6]), "eval/loss": ([1, 2, 3], [0.9, 0.8, 0.7])}),
    "a heading ends at the next row with an axis": (
        PASSING,
        {"loss": ([1, 2, 3], [0.9, 0.8, 0.7]), "lr": ([1, 2, 3], [0.1, 0.2, 0.3]), "val/loss": ([1, 2, 3], [1.9, 1.8, 1.7])},
    ),
    "decimal commas": (
        "".join(f"epoch {e} loss: 0,{9 - e}5 acc: {50 + e},2% lr: 1,5e-4 n: 1.234,5\n" for e in (1, 2, 3)),
        {"loss": ([1, 2, 3], [0.85, 0.75, 0.65]), "acc": ([1, 2, 3], [51.2, 52.2, 53.2]), "lr": ([1, 2, 3], [1.5e-4] * 3),
         "n": ([1, 2, 3], [1234.5] * 3)},
    ),
    "thousands": (
        "".join(f"step {e} loss: 0.{9 - e}5 tokens: 1,23{e}\n" for e in (1, 2, 3)),
        {"loss": ([1, 2, 3], [0.85, 0.75, 0.65]), "tokens": ([1, 2, 3], [1231, 1232, 1233])},
    ),
    "names of one letter that are units elsewhere": (
        "".join(f"epoch {e}/3 loss: 0.{e} D: 0.{e} G: 1.{e} K: 3 B: 0.5 M: 2 s: 0.{e}\n" for e in (1, 2, 3)),
        {"loss": ([1, 2, 3], [0.1, 0.2, 0.3]), "D": ([1, 2, 3], [0.1, 0.2, 0.3]), "G": ([1, 2, 3], [1.1, 1.2, 1.3]),
         "K": ([1, 2, 3], [3] * 3), "B": ([1, 2, 3], [0.5] * 3), "M": ([1, 2, 3], [2] * 3), "s": ([1, 2, 3], [0.1, 0.2, 0.3])},
    ),
    "a column of marks": (
        SKORCH,
        {"train_loss": ([1, 2, 3], [0.6868, 0.6914, 0.65]), "valid_acc": ([1, 2, 3], [0.6, 0.59, 0.64]),
         "dur": ([1, 2, 3], [0.0447, 0.0331, 0.0332])},
    ),
    "rows of classes": (
        ULTRALYTICS,
        {"box_loss": ([1, 2, 3], [1.194, 1.294, 1.394]), "GPU_mem": ([1, 2, 3], [2.38] * 3), "Size": ([1, 2, 3], [640] * 3),
         "Instances": ([1, 2, 3], [21, 22, 23]), "all/Images": ([1, 2, 3], [128] * 3), "all/Instances": ([1, 2, 3], [929] * 3),
         "Box/P": ([1, 2, 3], [0.615, 0.625, 0.635]), "Box/R": ([1, 2, 3], [0.562] * 3),
         "Box/mAP50": ([1, 2, 3], [0.618, 0.628, 0.638]), "Box/mAP50-95": ([1, 2, 3], [0.465] * 3),
         "person/Images": ([1, 2, 3], [61] * 3), "person/Instances": ([1, 2, 3], [254] * 3),
         "person/Box/P": ([1, 2, 3], [0.715, 0.725, 0.735]), "person/Box/R": ([1, 2, 3], [0.662] * 3),
         "person/Box/mAP50": ([1, 2, 3], [0.718, 0.728, 0.738]), "person/Box/mAP50-95": ([1, 2, 3], [0.565] * 3)},
    ),
    "a table of rich": (RICH, {"train loss": ([1, 2, 3], [0.9, 0.8, 0.7]), "val loss": ([1, 2, 3], [1, 0.95, 0.92])}),
    "a grid of tabulate": (GRID, {"loss": ([1, 2, 3], [0.9, 0.8, 0.7])}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_a_log_written_by_hand_is_read_value_by_value(name: str, tmp_path: Path) -> None:
    text, wanted = LOGS[name]
    found = metrics_of(tmp_path, text)
    assert set(found) == set(wanted)
    for metric, (steps, values) in wanted.items():
        assert found[metric][0] == steps, metric
        assert all(math.isclose(a, b) for a, b in zip(found[metric][1], values, strict=True)), metric


@pytest.mark.parametrize(
    ("stamp", "wanted"),
    [
        ("26.11.2026 14:03:1{}", datetime(2026, 11, 26, 14, 3, 11, tzinfo=UTC)),
        ("[26/11/2026, 14:03:1{}]", datetime(2026, 11, 26, 14, 3, 11, tzinfo=UTC)),
        ("11/26/2026 14:03:1{}", datetime(2026, 11, 26, 14, 3, 11, tzinfo=UTC)),
        ("11/10/2026 14:03:1{}", None),  # October or November
    ],
)
def test_dates_that_do_not_begin_with_the_year_are_times(stamp: str, wanted: datetime | None, tmp_path: Path) -> None:
    path = tmp_path / "exp" / "train.log"
    path.parent.mkdir()
    path.write_text("".join(f"{stamp.format(i)} INFO epoch {i} loss 0.{i}\n" for i in (1, 2, 3)))
    (reading,) = read_folder(path.parent).readings
    assert reading.points.sort("step")["value"].to_list() == [0.1, 0.2, 0.3]
    assert reading.points["wall_time"].min() == wanted
