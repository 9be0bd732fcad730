"""Which way is better, by the metric's name alone: a text of several hundred names, and the rules behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeplens.errors import AmbiguousGoalError
from sweeplens.frames.goal_names import read_name
from sweeplens.frames.goals import goal_of, known_goal, main_metrics, outcome_goal

LINES = Path(__file__).with_name("goal_names.txt").read_text(encoding="utf-8").splitlines()
NAMES = {name: goal for name, _, goal in (line.rpartition(" ") for line in LINES if not line.startswith("#"))}
CASED = {name: goal for name, goal in NAMES.items() if name.islower()}


def test_every_name_of_the_text_gets_its_goal() -> None:
    assert len(NAMES) >= 600
    told = {name: known_goal(name).replace("unknown", "none") for name in NAMES}
    assert told == NAMES


@pytest.mark.parametrize(
    "form", ["val/{}", "val_{}", "eval/{}", "test.{}", "metrics/{}", "{}_mean", "{}/avg", "best_{}"]
)
def test_prefixes_of_splits_and_suffixes_of_averages_change_no_goal(form: str) -> None:
    plain = {n: g for n, g in CASED.items() if not n.startswith(("1", "n_", "neg", "inv")) and n not in {"per", "x"}}
    told = {name: known_goal(form.format(name)).replace("unknown", "none") for name in plain}
    assert told == plain


@pytest.mark.parametrize("form", ["{}_std", "std_{}", "{}/stderr", "num_{}"])
def test_a_spread_or_a_number_of_anything_has_no_goal(form: str) -> None:
    plain = [n for n in CASED if not n.startswith(("1 ", "1-", "explained", "n_"))]
    assert {known_goal(form.format(name)) for name in plain} == {"unknown"}


@given(st.sampled_from(sorted(n for n, g in CASED.items() if g != "none" and n.isalpha())))
def test_capitals_do_not_change_the_goal_of_a_single_word(name: str) -> None:
    assert known_goal(name.upper()) == known_goal(name.capitalize()) == known_goal(name)


@given(st.text(max_size=40))
def test_any_text_at_all_is_read_without_an_error(text: str) -> None:
    assert read_name(text).goal in ("lower", "higher", "unknown")


def test_what_measures_cost_has_a_goal_but_is_never_a_main_metric() -> None:
    assert known_goal("gpu_memory") == "lower"
    assert outcome_goal("gpu_memory") == "unknown"
    assert outcome_goal("gpu_memory", {"gpu_memory": "lower"}) == "lower"
    assert main_metrics(["gpu_memory", "latency", "tokens_per_sec", "mIoU", "lr"]) == ["mIoU"]


@pytest.mark.parametrize(
    ("metrics", "first"),
    [
        (["val_dice_cyst", "val_dice_kidney", "val_dice_mean", "val_dice_tumor", "val_loss"], "val_dice_mean"),
        (["acc/arc", "acc/avg", "acc/hellaswag"], "acc/avg"),
        (["val/box_loss", "val/cls_loss", "val/total_loss"], "val/total_loss"),
        (["val/f1/cat", "val/f1/dog", "val/f1/macro"], "val/f1/macro"),
        (["valRecallA", "valRecallB", "valRecall"], "valRecall"),
        (["acc", "train_acc", "test_acc", "val_acc", "val_f1"], "val_acc"),  # splits are no parts
        (["eval_rouge1", "eval_rouge2", "eval_rougeL"], "eval_rouge1"),  # no mean
    ],
)
def test_a_mean_over_classes_comes_before_its_parts(metrics: list[str], first: str) -> None:
    assert main_metrics(metrics)[0] == main_metrics(metrics[::-1])[0] == first


def test_where_no_goal_is_known_the_error_says_why() -> None:
    with pytest.raises(AmbiguousGoalError, match="std: a spread, not a level"):
        goal_of("reward_std")
    with pytest.raises(AmbiguousGoalError, match="only the margin counts"):
        goal_of("rewards/rejected")
