"""Conditions select the same runs as SQL, have limits, and their errors give the position and what to write instead."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeplens import ExperimentDB
from sweeplens.errors import InputError, UnknownNameError
from sweeplens.frames.conditions import condition_mask
from sweeplens.frames.schemas import SERIES_SCHEMA

ROWS: dict[str, list[Any]] = {
    "run_id": ["a", "b", "c", "d", "e", "f"],
    "i": [1, 2, None, -7, 0, 3],
    "f": [1.5, None, 0.25, -2.5, 0.0, 3.0],
    "s": ["adam", "SGD", None, "a_b", "", "100%"],
    "optim.lr": [0.1, 0.01, 0.1, None, 1.0, 1e-4],
    "b": [True, False, None, True, False, None],
}
RUNS = pl.DataFrame(ROWS).with_columns(
    pl.col("s").cast(pl.Categorical),
    created_at=pl.datetime(2026, 1, pl.int_range(1, 7), time_zone="UTC"),
    tags=pl.Series([["x"], [], ["y"], None, ["x", "y"], ["z"]]),
)
SERIES = pl.DataFrame(schema=SERIES_SCHEMA)


def chosen(condition: str) -> str:
    """The ids of the runs for which a condition holds."""
    return "".join(RUNS.filter(condition_mask(condition, RUNS, SERIES))["run_id"])


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDB:
    """Four runs of a sweep; one has no end."""
    root = tmp_path_factory.mktemp("logs")
    for seed, lr in enumerate((0.1, 0.1, 0.5, 0.5)):
        folder = root / f"run{seed}"
        folder.mkdir()
        config = {"optim": {"lr": lr, "name": "adam" if seed else "sgd"}, "seed": seed}
        (folder / "config.json").write_text(json.dumps(config))
        lines = [json.dumps({"step": s, "val/acc": s / 20 + lr}) for s in range(10)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return ExperimentDB(base_path=root)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ('"optim.lr" > 0.01', "ace"),
        ("`optim.lr` = 1e-4", "f"),
        ("NOT i = 1", "bdef"),
        ("i = NULL OR i <> 1", "bdef"),
        ("i NOT IN (1, NULL)", ""),
        ("i IN (1, 2.0, NULL)", "ab"),
        ("i IS NULL AND b IS NULL", "c"),
        ("b", "ad"),
        ("b IS NOT TRUE", "bcef"),
        ("b = 1 AND i BETWEEN -10 AND 1", "ad"),
        ("i NOT BETWEEN 0 AND 2", "df"),
        ("s LIKE 'a_%'", "ad"),
        ("s LIKE 'a!_%' ESCAPE '!'", "d"),
        ("s ILIKE 'sgd' OR s LIKE '%!%' ESCAPE '!'", "bf"),
        ("s NOT LIKE '%a%'", "bef"),
        ("s ~ '^a' AND s !~* '_B'", "a"),
        ("starts_with(s, 'a') AND NOT ends_with(s, 'b')", "a"),
        ("s || '/' || i = 'adam/1'", "a"),
        ("lower(s) IN ('sgd', 'adam') AND length(s) = 3", "b"),
        ("-i * 2 + 1 = 15 OR i % 2 = -1", "d"),
        ("7 / 2 = 3.5 AND 7 // 2 = 3 AND i >= 2", "bf"),
        ("coalesce(i, 0) = 0", "ce"),
        ("round(f, 1) = 0.2 OR round(f) = 3", "cf"),
        ('log10("optim.lr") < -3.5', "f"),
        ("isfinite(1 / i) AND i < 1", "d"),
        ("created_at >= '2026-01-05' AND created_at < '2026-01-05 12:00'", "e"),
        ("CAST(created_at AS DATE) = '2026-01-02'", "b"),
        ("CAST(i AS TEXT) = '3' OR s::int = 100", "f"),
        ("array_contains(tags, 'x')", "ae"),
        ("i IS DISTINCT FROM 1 AND i IS NOT DISTINCT FROM NULL", "c"),
        ("greatest(1, i) = 1 AND least(2, i) = 0", "e"),
        ("greatest(1, 2) = 2 AND i = 1", "a"),
        ("coalesce(1 - 1, i) = 0 AND i = 1", "a"),
        ("'a' || 'b' = 'ab' AND i = 1", "a"),
        ("'adam' LIKE 'a%' AND array_length(tags) = 1", "acf"),
        ("TRUE", "abcdef"),
        ("i = 1 -- one", "a"),
        ("i = 1 /* one */ OR s = 'it''s'", "a"),
        ("i = 99999999999999999999999", ""),
        ("i > -1" + "1" * 3000, "abdef"),
    ],
)
def test_a_condition_selects_the_same_runs_as_sql(condition: str, ids: str) -> None:
    assert chosen(condition) == ids


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ('"optim.lr" >', r"character 13: expected a column or a value after '>', found the end.*status = 'finished'"),
        (
            "status = finished",
            r"No column 'finished': finished without quotes names a column.* as in status = 'finished'",
        ),
        ('status = "finished"', r"put text in single quotes, as in status = 'finished'"),
        ("status IN (finished, failed)", r"as in status = 'finished'"),
        ('"optim.lr" > seeed', r"No column 'seeed'. Nearest: 'seed'"),
        ('"val/acc" > 0.9', r'as in "val/acc.last"'),
        ('"val/acc.lst" > 0.9', r"Nearest: 'val/acc.last'"),
        ('"optim.lrr" > 1', r"Nearest: 'optim.lr'"),
        ("status > 3", r"status is text and 3 is a number"),
        ("seed = '1'", r"seed is a number and '1' is text.*without quotes"),
        ("1 < seed < 3", r"1 < seed AND seed < 3|Join comparisons with AND"),
        ("seed = 1 seed = 2", r"character 10: expected AND, OR or the end, found 'seed'"),
        ("(seed = 1", r"expected '\)', found the end"),
        ("name = 'run0", r"character 8: the quote ' is not closed"),
        ("name = “run0”", r"typographic quote"),
        ("lowr(name) = 'x'", r"No function 'lowr' in a condition. Nearest: lower"),
        ("LPAD(run_id, 400000000, 'x') = 'x'", r"No function 'lpad'"),
        ("round(seed, 400000000) = 1", r"0 to 15 digits"),
        ("abs(seed, 1) = 1", r"takes 1 argument, not 2"),
        ("created_at > 'yesterday'", r"'yesterday' in the condition is not a time"),
        ("name ~ '('", r"not a regular expression: unclosed group"),
        ("name ~ '((((a{1,99}){1,99}){1,99}){1,99})'", r"becomes too large"),
        ("name LIKE seed", r"LIKE pattern: write a text in single quotes"),
        ("tags = 'x'", r"array_contains"),
        ("seed", r"not true or false"),
        ("SELECT 1", r"cannot select"),
        ("seed = 1 FROM runs", r"cannot select"),
        ("", ""),
    ],
)
def test_an_error_gives_the_position_and_the_correction(db: ExperimentDB, condition: str, words: str) -> None:
    if not condition:
        assert db.list_runs(where=condition).table.height == 4
        return
    with pytest.raises(InputError, match=f"(?s){words}") as error:
        db.list_runs(where=condition)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert "done" not in str(error.value)


_HUGE = {
    "joined texts": "||".join(["'a'"] * 800),
    "joined columns": "||".join(["run_id"] * 300) + " = 'a'",
    "a sum": "+".join(["1"] * 1500) + " = 1",
    "brackets": "(" * 1900 + "i = 1" + ")" * 1900,
    "negations": "NOT " * 900 + "i = 1",
    "minuses": "- " * 1900 + "i = 1",
    "functions": "abs(" * 700 + "i" + ")" * 700 + " = 1",
    "casts": "i" + "::int" * 700 + " = 1",
    "choices": f"i IN ({','.join(['1'] * 1900)})",
    "choices among choices": "(" * 12 + "i IN (1, 2, 3)" + ") IN (TRUE, FALSE))" * 12,
    "between in between": "(" * 30 + "i BETWEEN 1 AND 2" + ") BETWEEN FALSE AND TRUE" * 30,
    "remainders": "i" + " % 7" * 48 + " = 1",
    "nullifs": "nullif(" * 40 + "i" + ", 3)" * 40 + " = 1",
    "coalesce": "coalesce(" + "i, " * 400 + "i) = 1",
    "coalesce in coalesce": "coalesce(" * 40 + "i" + ", 3)" * 40 + " = 1",
    "length": "i = 1 " + " " * 5000,
}


@pytest.mark.parametrize("condition", _HUGE.values(), ids=_HUGE.keys())
def test_a_condition_that_is_too_long_too_deep_or_would_grow_is_refused_at_once(condition: str) -> None:
    began = time.monotonic()
    with pytest.raises(InputError) as error:
        chosen(condition)
    assert time.monotonic() - began < 2
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "condition",
    [
        " OR ".join(f"i = {n}" for n in range(160)),
        f"i IN ({', '.join(map(str, range(450)))})",
        "(" * 45 + "i = 1" + ")" * 45,
        "+".join(["1"] * 45) + " = 45",
        "NOT " * 46 + "i = 1",
        f"s LIKE '{'%_' * 450}' OR i = 1",
    ],
)
def test_a_long_condition_within_the_limits_is_answered(condition: str) -> None:
    assert "a" in chosen(condition)


@pytest.mark.parametrize("name", ["*", "^.*$", 'a"b', "sel ect", "é"])
def test_a_column_of_any_name_can_be_asked_for(name: str) -> None:
    quoted = name.replace('"', '""')
    runs = RUNS.with_columns(pl.Series(name, [5, 6, 7, 8, 9, 10]))
    assert condition_mask(f'"{quoted}" = 7', runs, SERIES).to_list() == [False, False, True, False, False, False]


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_side_of_a_comparison_takes_the_same_conditions_in_the_same_bounds(db: ExperimentDB, side: str) -> None:
    other = "b" if side == "a" else "a"
    joined, deep = "'a'||" * 700 + "'a' = 'a'", "run_id = '1' OR " + "NOT " * 900 + "TRUE"
    for condition in (joined, deep, "LPAD(run_id, 400000000, 'x') = 'x'"):
        with pytest.raises(InputError):
            db.compare(**{side: condition, other: "run0"})
    sides = {side: "starts_with(run_id, 'run1')", other: "run_id ~ '[02]'"}
    assert db.compare(**sides).basis.runs_used == 3


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("status = 'done' AND seed >= 0", "status = 'done' holds for none of 4 runs. Values of status: 'unknown' (4)."),
        ("seed > 7", "seed > 7 holds for none of 4 runs. seed is between 0 and 3."),
        ("\"optim.name\" = 'Adam'", "Values of optim.name: 'adam' (3), 'sgd' (1)."),
        (
            'seed = 0 AND "optim.lr" = 0.5',
            'at once. Of 4 runs, each part alone holds: seed = 0 for 1, "optim.lr" = 0.5 for 2.',
        ),
    ],
)
def test_an_empty_answer_says_which_condition_emptied_it(db: ExperimentDB, condition: str, words: str) -> None:
    answer = db.list_runs(where=condition)
    assert answer.table.height == 0
    assert words in answer.basis.warnings[0]
    for ask in (db.rank, db.effects, db.curves):
        with pytest.raises(InputError) as error:
            ask("val/acc" if ask != db.curves else ["val/acc"], where=condition)
        assert words in str(error.value)
    with pytest.raises(InputError) as error:
        db.compare(condition, "run0")
    assert words in str(error.value)
    assert not any("holds for" in warning for warning in db.list_runs(where="seed >= 0").basis.warnings)


# ------------------------------------------------------------- properties

_NUMBERS = st.sampled_from(["i", "f", '"optim.lr"', "1", "0.25", "-7", "2", "NULL"])
_TEXTS = st.sampled_from(["s", "'adam'", "'a_b'", "'SGD'", "''", "run_id"])


def _numeric(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"abs({t})"),
        inner.map(lambda t: f"(- {t})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda t: f"coalesce({', '.join(t)})"),
        st.tuples(inner, inner).map(lambda t: f"nullif({t[0]}, {t[1]})"),
        _TEXTS.map(lambda t: f"length({t})"),
    )


def _textual(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda t: f"({t[0]} || {t[1]})"),
        inner.map(lambda t: f"lower({t})"),
        inner.map(lambda t: f"upper({t})"),
    )


_NUMERIC = st.recursive(_NUMBERS, _numeric, max_leaves=4)
_TEXTUAL = st.recursive(_TEXTS, _textual, max_leaves=4)
_SIGNS = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "!=", "=="])
_NOT = st.sampled_from(["", "NOT "])
_PATTERNS = st.sampled_from(["'a%'", "'%a%'", "'_'", "'%'", "''", "'100!%'", "'a__'", "'S%D'"])


def _comparison(operand: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(operand, _SIGNS, operand).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        st.tuples(operand, _NOT, operand, operand).map(lambda t: f"{t[0]} {t[1]}BETWEEN {t[2]} AND {t[3]}"),
        st.tuples(operand, _NOT, st.lists(operand, min_size=1, max_size=3)).map(
            lambda t: f"{t[0]} {t[1]}IN ({', '.join(t[2])})"
        ),
        st.tuples(operand, _NOT).map(lambda t: f"{t[0]} IS {t[1]}NULL"),
    )


_LIKE = st.tuples(_TEXTUAL, _NOT, _PATTERNS).map(lambda t: f"{t[0]} {t[1]}LIKE {t[2]} ESCAPE '!'")
_ATOMS = st.one_of(_comparison(_NUMERIC), _comparison(_TEXTUAL), _LIKE)
_TREES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        inner.map(lambda t: f"NOT {t}"),
        inner.map(lambda t: f"({t})"),
        inner.map(lambda t: f"({t}) IS NOT NULL"),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def sqlite() -> sqlite3.Connection:
    """The same runs in SQLite."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("PRAGMA case_sensitive_like = ON")
    connection.execute('CREATE TABLE runs (run_id TEXT, i INTEGER, f REAL, s TEXT, "optim.lr" REAL, b INTEGER)')
    connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)", list(zip(*ROWS.values(), strict=True)))
    return connection


@settings(max_examples=300, deadline=None)
@given(condition=_TREES)
def test_random_conditions_select_the_same_runs_as_sqlite(sqlite: sqlite3.Connection, condition: str) -> None:
    expected = "".join(row[0] for row in sqlite.execute(f"SELECT run_id FROM runs WHERE {condition} ORDER BY run_id"))
    assert chosen(condition) == expected, condition


_PIECES = st.sampled_from([
    "i", "f", "s", "b", "tags", "created_at", '"optim.lr"', "x", "1", "0.5", "1e999", "'a'", "''", "NULL", "TRUE", "(", ")", ",",
    "=", "<", "~", "||", "+", "-", "*", "/", "%", "::", "AND", "OR", "NOT", "IN", "IS", "BETWEEN", "LIKE", "ESCAPE", "DISTINCT",
    "FROM", "CAST(", "AS", "INT", "DATE", "abs(", "round(", "coalesce(", "greatest(", "array_contains(", "regexp_like(", ".", "'",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(condition=st.one_of(st.text(max_size=40), st.lists(_PIECES, max_size=14).map(" ".join)))
def test_random_text_is_answered_or_refused_in_a_sentence(condition: str) -> None:
    with contextlib.suppress(InputError, UnknownNameError):
        assert len(condition_mask(condition, RUNS, SERIES)) == RUNS.height
