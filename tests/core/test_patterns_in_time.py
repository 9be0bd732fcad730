"""Patterns of clients take a limited time over any names, and LIKE selects the same texts as in SQL."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeplens.errors import InputError
from sweeplens.frames.conditions import condition_mask
from sweeplens.frames.pattern_search import PatternTime, found, like_search, regex_search
from sweeplens.frames.schemas import SERIES_SCHEMA
from sweeplens.frames.selection import select_metrics

SERIES = pl.DataFrame(schema=SERIES_SCHEMA)
RANDOM = random.Random(1)
LONG = pl.DataFrame({"run_id": ["".join(RANDOM.choices("abc", k=240)) + f"{i}c" for i in range(2_000)]})
SLOW = r".{0,99}a.{0,99}b.{0,99}(?:[0-9]c$|b[0-9]c)"
WILD = (
    "%" + "a" + "_" * 60 + "b%a" + "_" * 30 + "%1c",
    "%a_" * 60 + "%",
    "%" + "%".join("ab" * 30) + "%1c",
    "%ab" * 300,
)


@pytest.mark.parametrize("pattern", WILD)
@pytest.mark.parametrize("operator", ["LIKE", "ILIKE", "NOT LIKE"])
def test_like_with_many_wildcards_over_long_names_takes_linear_time(operator: str, pattern: str) -> None:
    began = time.process_time()
    condition_mask(f"run_id {operator} '{pattern}'", LONG, SERIES)
    assert time.process_time() - began < 0.4


@pytest.mark.parametrize(
    "ask",
    [
        lambda: condition_mask(" OR ".join([f"run_id ~ '{SLOW}'"] * 50), LONG, SERIES),
        lambda: condition_mask(" OR ".join(f"run_id || '{i}c' !~* '{SLOW}'" for i in range(9)), LONG, SERIES),
        lambda: select_metrics([f"{SLOW}|{i}a" for i in range(99)], LONG["run_id"].to_list()),
    ],
)
def test_all_patterns_of_a_question_share_one_limit(ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatternTime, "most_seconds", 0.2)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"took more than 0\.2 s.*LIKE instead"):
        ask()
    assert time.monotonic() - began < 5


@settings(max_examples=120, deadline=None)
@given(st.text("ab%_é\n.", max_size=8), st.lists(st.text("abé\n%_.", max_size=9) | st.none(), max_size=6))
def test_like_selects_the_same_texts_as_sqlite(pattern: str, texts: list[str | None]) -> None:
    sqlite = sqlite3.connect(":memory:")
    sqlite.execute("PRAGMA case_sensitive_like = ON")
    wanted = [sqlite.execute("SELECT ? LIKE ? ESCAPE '.'", (text, pattern)).fetchone()[0] for text in texts]
    if pattern.endswith(".") and (len(pattern) - len(pattern.rstrip("."))) % 2:
        return  # SQLite selects nothing where no character follows the escape character
    got = found(pl.Series(texts, dtype=pl.String), like_search(pattern, "."), PatternTime()).to_list()
    assert got == [None if w is None else bool(w) for w in wanted]


def test_long_texts_are_searched_whole() -> None:
    texts = pl.Series(["x" * 300_000 + "end", None, "end", "", "x" * 70_000])
    assert found(texts, regex_search("end$"), PatternTime()).to_list() == [True, None, True, False, False]
    assert found(texts, like_search("%x_nd"), PatternTime()).to_list() == [True, None, False, False, False]
