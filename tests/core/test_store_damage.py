"""A store in which bits flipped, files were cut, swapped or forged: every answer is the one that the folders give."""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stores import Runs, open_db, place_of

from sweeplens import ExperimentDB

KINDS = (
    "points",
    "series",
    "runs",
    "ledger",
    "state/*.parquet",
    "state/*.walk",
    "HEAD",
    "points/_delta_log",
    "runs/_delta_log",
)
FLIPS = 3  # of each kind of file; positions differ from run to run of the tests


class Stored:
    """Folders, their store, and the right answers about them."""

    def __init__(self, home: Path) -> None:
        self.root, self.cache = home / "runs", home / "cache"
        self.runs = Runs(self.root, 6, 40)
        with (self.root / "run0001" / "metrics.jsonl").open("a") as log:
            log.write("{torn")
        past = time.time() - 3600
        for path in self.root.rglob("*"):
            os.utime(path, (past, past))
        self.right = answers(open_db(self.root, self.cache))
        self.place = place_of(self.root, self.cache)
        self._whole = home / "whole"
        shutil.copytree(self.place, self._whole)

    def whole(self) -> Path:
        """The store as it was written."""
        shutil.rmtree(self.place)
        shutil.copytree(self._whole, self.place)
        return self.place

    def files(self, kind: str) -> list[Path]:
        """The files of a kind."""
        pattern = kind if "*" in kind or kind == "HEAD" else f"{kind}/*"
        return [p for p in sorted(self.place.glob(pattern)) if p.is_file()]

    def now(self) -> list[object]:
        """What a new process would answer."""
        return answers(open_db(self.root, self.cache))


def answers(db: ExperimentDB) -> list[object]:
    """Points, series, runs, problems and the version of the data."""
    points = db.lazy_query(raw=True).collect().sort("run_id", "metric", "seq")
    runs = db.runs_df.sort("run_id")
    return [
        points.rows(), db.series_df.sort("run_id", "metric").rows(), runs.columns, runs.rows(), db.problems.rows(),
        db.overview().basis.data_version, db.overview().basis.warnings,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """One store, which each test damages and then has whole again."""
    return Stored(tmp_path_factory.mktemp("damage"))


def flipped(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def emptied(path: Path, chance: random.Random) -> None:
    del chance
    path.write_bytes(b"")


def garbage(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def a_folder(path: Path, chance: random.Random) -> None:
    del chance
    path.unlink()
    path.mkdir()


def a_pipe(path: Path, chance: random.Random) -> None:
    del chance
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_anywhere_in_the_store_changes_no_answer(stored: Stored, kind: str) -> None:
    chance = random.Random()
    for _ in range(FLIPS):
        stored.whole()
        flipped(chance.choice(stored.files(kind)), chance)
        assert stored.now() == stored.right


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        emptied,
        garbage,
        a_folder,
        pytest.param(a_pipe, marks=pytest.mark.skipif(os.name == "nt", reason="no pipes")),
    ],
)
def test_files_that_are_cut_or_something_else_change_no_answer(
    stored: Stored, damage: Callable[[Path, random.Random], None]
) -> None:
    chance = random.Random()
    for kind in KINDS:
        stored.whole()
        for path in stored.files(kind):
            damage(path, chance)
        *now, warnings = stored.now()
        assert now == stored.right[:-1], kind
        assert not warnings or damage is a_folder  # HEAD cannot replace a folder, which is reported


def test_files_that_changed_places_change_no_answer(stored: Stored) -> None:
    place = stored.whole()
    series, runs = stored.files("series")[0], stored.files("state/*.parquet")[0]
    series.rename(place / "aside")
    runs.rename(series)
    (place / "aside").rename(runs)
    assert stored.now() == stored.right


def test_the_store_of_other_folders_in_the_place_of_this_one_changes_no_answer(stored: Stored, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Runs(other, 3, 10)
    open_db(other, stored.cache).load_experiments()
    stored.whole()
    shutil.rmtree(stored.place)
    shutil.copytree(place_of(other, stored.cache), stored.place)
    assert stored.now() == stored.right


def test_damage_is_reported_in_the_log_and_repaired(stored: Stored, caplog: pytest.LogCaptureFixture) -> None:
    stored.whole()
    flipped(stored.files("points")[0], random.Random(1))
    assert stored.now() == stored.right
    assert "is damaged" in caplog.text
    assert "is rebuilt" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "sweeplens.store"):
        assert stored.now() == stored.right
    assert not caplog.records


def test_a_bit_that_flips_under_a_process_changes_none_of_its_answers(stored: Stored) -> None:
    stored.whole()
    db = open_db(stored.root, stored.cache, refresh_seconds=1000)
    assert answers(db) == stored.right
    flipped(stored.files("points")[0], random.Random(2))
    assert answers(db) == stored.right
    assert stored.now() == stored.right
