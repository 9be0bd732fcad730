"""A folder of a file system that fsspec knows is read as a folder on this machine; without fsspec a sentence names the extra."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from support.stores import Runs, open_db, points_of

from sweeplens.errors import PlaceError
from sweeplens.places.filesystem_place import FilesystemPlace

KEY = ["run_id", "metric"]


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty file system in memory."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def copy(system: Any, folder: Path, top: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{top}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_gives_the_answers_of_the_folder(sweep: Path, memory: Any, tmp_path: Path) -> None:
    copy(memory, sweep, "/lab/exp")
    db, local = open_db("memory://lab/exp", tmp_path / "cache"), open_db(sweep, tmp_path / "cache")
    assert sorted(db.runs_df["run_id"]) == sorted(local.runs_df["run_id"])
    assert_frame_equal(db.series_df.sort(KEY), local.series_df.sort(KEY))
    assert db.overview().basis.roots == ("memory://lab/exp",)


def test_follows_a_log_that_grows_and_one_that_is_written_again(memory: Any, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", 2, 200)
    copy(memory, tmp_path / "runs", "/exp")
    db = open_db("memory://exp", tmp_path / "cache")
    assert points_of(db) == runs.values()
    runs.append(0, 3)
    copy(memory, tmp_path / "runs", "/exp")
    assert points_of(db) == runs.values()
    memory.pipe_file("/exp/run0001/metrics.jsonl", b'{"step": 0, "loss": 900.0}\n')
    memory.rm("/exp/run0000", recursive=True)
    assert points_of(db) == [900.0]


def test_a_folder_that_does_not_exist_is_said(memory: Any, tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"memory://nothing/here"):
        open_db("memory://nothing/here", tmp_path / "cache").overview()


def test_a_password_of_the_address_is_never_shown(memory: Any, tmp_path: Path) -> None:
    place = FilesystemPlace("sftp://me:hunter2@127.0.0.1:1/exp", "sftp://me@127.0.0.1:1/exp")
    with pytest.raises(PlaceError) as raised:
        place.files()
    assert "hunter2" not in str(raised.value)
    assert "sftp" in str(raised.value)


def test_without_fsspec_a_sentence_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'fsspec' else find(name, *rest)\n"
        "from sweeplens import ExperimentDB\n"
        "ExperimentDB('sftp://me@host/exp').overview()"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'sweeplens[remote]'" in made.stderr
