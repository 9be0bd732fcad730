"""Runs that a search stops on its rungs did not fail, and are compared where their training is equally long."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from sweeplens import ExperimentDB
from sweeplens.analyses.rungs import rungs_of

_LADDER = {3: 24, 9: 8, 27: 4, 81: 4}


def _db(folder: Path, ends: Sequence[int], settings: Callable[[int, int], Mapping[str, object]]) -> ExperimentDB:
    """Writes a run that ends at each of these steps; its accuracy grows with its length and depends on its scheduler."""
    for i, end in enumerate(ends):
        run = folder / "search" / f"trial_{i:03d}"
        run.mkdir(parents=True)
        own = {"lr": 0.001 * (i + 1), **settings(i, end)}
        (run / "config.json").write_text(json.dumps(own))
        top = 0.99 if own.get("scheduler") == "onecycle" else 0.9
        speed = 30 if own.get("scheduler") == "onecycle" else 10
        noise = 0.002 * math.sin(7 * i)
        rows = [{"step": s, "val_acc": top * (1 - math.exp(-s / speed)) + noise} for s in range(1, end + 1)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ExperimentDB(folder)


def _ends(ladder: Mapping[int, int]) -> list[int]:
    return [end for end, n in ladder.items() for _ in range(n)]


def _cut_onecycle(i: int, end: int) -> Mapping[str, object]:
    """Returns settings of which one-cycle is stopped on the first rung, but for one that reaches the last."""
    late = (end == 3 and i % 4 != 0) or (end == 81 and i == len(_ends(_LADDER)) - 1)
    return {"scheduler": "onecycle" if late else "cosine", "optimizer": "lion" if i % 3 == 0 else "adamw", "epochs": 81}


def test_the_overview_tells_rungs_with_the_level_that_is_cut_most_and_that_it_leads_on_the_last(tmp_path: Path) -> None:
    db = _db(tmp_path, _ends(_LADDER), _cut_onecycle)
    lines = dict(db.overview().table.rows())
    assert lines["rungs"].startswith("runs end at steps 3 (24 runs), 9 (8), 27 (4), 81 (4): a search stops them there")
    assert "Beyond the first rung: scheduler=cosine 15 of 21, scheduler=onecycle 1 of 19 (p " in lines["rungs"]
    assert "optimizer" not in lines["rungs"]
    assert "though runs of the level that is cut most are the better ones in val_acc on the last rung" in lines["rungs"]
    assert "different rungs are compared after unequal training" in lines["how compared"]
    assert "stopped on a lower rung of the search" in lines["unlike"]
    assert not {"ends_early", "config_length"} & set(db.diagnose().table["finding"])


def test_the_studied_setting_is_compared_at_one_rung(tmp_path: Path) -> None:
    db = _db(tmp_path, _ends(_LADDER), lambda i, end: {"optimizer": "lion" if i % 3 == 0 else "adamw"})
    (text,) = [text for topic, text in db.overview().table.rows() if topic.startswith("optimizer: ")]
    assert text.startswith("all at step 3: val_acc ")
    assert "; those that end at step 81: val_acc " in text


def test_rankings_and_comparisons_warn_of_rungs_unless_they_read_one_step(tmp_path: Path) -> None:
    db = _db(tmp_path, _ends(_LADDER), lambda i, end: {"optimizer": "lion" if i % 3 == 0 else "adamw"})
    told = "runs end on rungs of a search, at steps 3 (24 runs), 9 (8), 27 (4), 81 (4)"
    for answer in (db.rank("val_acc"), db.compare(hparam="optimizer", reduce="last")):
        assert any(w.startswith(told) for w in answer.basis.warnings)
    for answer in (db.rank("val_acc", at_step=3), db.compare(hparam="optimizer", reduce="at_step:3")):
        assert not any("rungs" in w for w in answer.basis.warnings)


def test_comparisons_read_all_trials_at_the_first_rung_so_that_survivors_are_not_compared_with_stopped_trials(
    tmp_path: Path,
) -> None:
    """As of two optimizers that are equal at equal length: the search went on with trials of one of them."""
    later = {9: 0, 27: 0, 81: 0}
    db = _db(tmp_path, _ends(_LADDER), lambda i, end: {"optimizer": "lion" if end in later or i % 2 else "adamw"})
    for answer in (db.compare(hparam="optimizer"), db.compare("optimizer = 'lion'", "optimizer = 'adamw'")):
        assert any(note.startswith("Runs end on rungs of a search, at steps 3 (24 runs)") for note in answer.notes)
        assert abs(answer.table["difference"][0]) < 0.002
        assert not any("rungs" in w for w in answer.basis.warnings)
    assert db.compare(hparam="optimizer", reduce="last").table["difference"][0] > 0.1


@pytest.mark.parametrize(
    ("ends", "settings", "counted"),
    [
        (_ends({2: 12, 8: 4, 26: 2}), {}, "2 (12 runs), 8 (4), 26 (2)"),  # steps from 0
        (_ends({250: 9, 500: 5, 1000: 3, 2000: 6}), {}, "250 (9 runs), 500 (5), 1000 (3), 2000 (6)"),
        (_ends({3: 8, 9: 8, 27: 8}), {}, ""),  # as many runs on each: lengths that were chosen
        (_ends({3: 24, 9: 8, 27: 4}), {"epochs": 0}, ""),  # the setting decides
        (_ends({10: 12, 30: 5, 40: 3, 45: 2}), {}, ""),  # no even ratios
        ([100] * 20, {}, ""),
        ([5 + 3 * i for i in range(20)], {}, ""),  # a pruner that stops at any step
        (_ends({3: 4, 9: 2, 27: 1}), {}, ""),  # too few
    ],
)
def test_rungs_are_few_steps_with_even_ratios_and_falling_counts_that_no_setting_decides(
    tmp_path: Path, ends: Sequence[int], settings: Mapping[str, object], counted: str
) -> None:
    view = _db(tmp_path, ends, lambda _, end: dict.fromkeys(settings, end)).view()
    found = rungs_of(view.runs, view.series)
    assert (found.counted() if found else "") == counted
