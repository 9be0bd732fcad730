"""Settings files of other people have no effect on this user's other experiments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.stores import Runs

from sweeplens import AnalysisConfig, ExperimentDB

FILES = {
    ".env": "ANALYSIS_CACHE_DIR={}\n",
    "sweeplens.toml": "cache_dir = {}\n",
    "pyproject.toml": "[tool.sweeplens]\ncache_dir = {}\n",
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that was cloned, and a user's cache of its own."""
    monkeypatch.delenv("ANALYSIS_CACHE_DIR")

    def users(name: str) -> Path:
        return tmp_path / "users" / name

    monkeypatch.setattr("platformdirs.user_cache_path", users)
    folder = tmp_path / "clone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(clone: Path, file: str, cache: str) -> None:
    """Name a cache in a file of settings."""
    (clone / file).write_text(FILES[file].format(cache if file == ".env" else json.dumps(cache)))


def heads(folder: Path) -> list[Path]:
    return sorted(folder.rglob("HEAD"))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", ["{elsewhere}", "../elsewhere", "link", "file://{elsewhere}", "s3://somebody/bucket"])
def test_a_file_of_the_working_directory_puts_no_store_elsewhere(
    clone: Path, tmp_path: Path, file: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (clone / "link").symlink_to(elsewhere)
    write(clone, file, place.format(elsewhere=elsewhere.as_posix()))
    Runs(clone / "experiments", 2, 3)
    ExperimentDB(AnalysisConfig()).load_experiments()
    assert heads(tmp_path) == heads(tmp_path / "users")
    assert len(heads(tmp_path)) == 1
    assert "is ignored" in caplog.text


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_the_working_directory_keeps_no_store_of_experiments_elsewhere(
    clone: Path, tmp_path: Path, file: str
) -> None:
    write(clone, file, "cache")
    Runs(tmp_path / "mine", 2, 3)
    Runs(clone / "experiments", 2, 3)
    ExperimentDB(AnalysisConfig(), tmp_path / "mine").load_experiments()
    ExperimentDB(AnalysisConfig(), [clone / "experiments", tmp_path / "mine"]).load_experiments()
    assert len(heads(tmp_path / "users")) == 2
    assert not heads(clone)


@pytest.mark.parametrize("file", FILES)
def test_a_project_keeps_the_store_of_its_own_experiments_where_it_says(clone: Path, tmp_path: Path, file: str) -> None:
    write(clone, file, "cache")
    Runs(clone / "experiments", 2, 3)
    ExperimentDB(AnalysisConfig()).load_experiments()
    assert len(heads(clone / "cache")) == len(heads(tmp_path)) == 1


def test_an_argument_and_a_variable_hold_everywhere(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(clone, ".env", str(tmp_path / "elsewhere"))
    Runs(tmp_path / "mine", 2, 3)
    ExperimentDB(AnalysisConfig(cache_dir=str(tmp_path / "argument")), tmp_path / "mine").load_experiments()
    monkeypatch.setenv("ANALYSIS_CACHE_DIR", str(tmp_path / "variable"))
    ExperimentDB(AnalysisConfig(), tmp_path / "mine").load_experiments()
    assert [len(heads(tmp_path / name)) for name in ("argument", "variable", "elsewhere", "users")] == [1, 1, 0, 0]


@pytest.mark.parametrize("name", ["cache_shared", "show_secrets"])
def test_a_settings_file_cannot_switch_off_protections(
    clone: Path, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (clone / ".env").write_text(f"ANALYSIS_{name.upper()}=1\n")
    (clone / "sweeplens.toml").write_text(f"{name} = true\n")
    assert not getattr(AnalysisConfig(), name)
    assert f"set the variable ANALYSIS_{name.upper()}" in caplog.text
    assert getattr(AnalysisConfig(**{name: True}), name)
    monkeypatch.setenv(f"ANALYSIS_{name.upper()}", "1")
    assert getattr(AnalysisConfig(), name)
