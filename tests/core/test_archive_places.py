"""An archive is read as the folder that it holds, within bounds; nothing of it reaches a place outside its mirror."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal
from support.stores import Runs, open_db, points_of

from sweeplens import ExperimentDB
from sweeplens.errors import PlaceError
from sweeplens.places import archive_place
from sweeplens.readers.decoding.zstd import zstd

LINE = b'{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n'
Entries = list[tuple[str, bytes]]


def make_zip(path: Path, entries: Entries) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)


def make_tar(path: Path, entries: Entries, mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


BOTH = pytest.mark.parametrize(("name", "make"), [("exp.zip", make_zip), ("exp.tar.gz", make_tar)])
Make = Callable[[Path, Entries], None]


@pytest.fixture
def db_of(tmp_path: Path) -> Callable[..., ExperimentDB]:
    """Opens an archive of the test's folder."""
    return lambda name: open_db(tmp_path / name, tmp_path / "cache")


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"])
def test_gives_the_answers_of_the_folder(sweep: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"{sweep.name}.{ending}"
    if ending == "zip":
        shutil.make_archive(str(tmp_path / sweep.name), "zip", sweep)
    else:
        packed = io.BytesIO()
        kind = {"tgz": "gz", "tar.gz": "gz", "tar.bz2": "bz2", "tar.xz": "xz"}.get(ending, "")
        with tarfile.open(fileobj=packed, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
            archive.add(sweep, ".")
        data = packed.getvalue()
        path.write_bytes(zstd.compress(data) if ending == "tar.zst" else data)
    db, local = open_db(path, tmp_path / "cache"), open_db(sweep, tmp_path / "cache")
    assert sorted(db.runs_df["run_id"]) == sorted(local.runs_df["run_id"])
    key = ["run_id", "metric"]
    assert_frame_equal(db.series_df.sort(key), local.series_df.sort(key))
    assert db.overview().basis.roots == (str(path.resolve()),)
    assert db.overview().basis.warnings == local.overview().basis.warnings


def test_is_read_again_when_it_changes_and_only_then(tmp_path: Path, db_of: Callable[..., ExperimentDB]) -> None:
    runs = Runs(tmp_path / "runs", 2, 3)
    entries = lambda: [(p.relative_to(tmp_path).as_posix(), p.read_bytes()) for p in (tmp_path / "runs").rglob("*.*")]  # noqa: E731
    make_tar(tmp_path / "exp.tar.gz", entries())
    db = db_of("exp.tar.gz")
    assert points_of(db) == runs.values()
    version = db.overview().basis.data_version
    assert db.overview().basis.data_version == version
    runs.append(1, 4)
    make_tar(tmp_path / "exp.tar.gz", entries())
    assert points_of(db) == runs.values()


@BOTH
@pytest.mark.parametrize("name_outside", ["../../outside.jsonl", "/tmp/outside.jsonl", "a/../../outside.jsonl"])
def test_no_name_leads_outside(
    tmp_path: Path, db_of: Callable[..., ExperimentDB], name: str, make: Make, name_outside: str
) -> None:
    make(tmp_path / name, [("a/metrics.jsonl", LINE), (name_outside, LINE)])
    db = db_of(name)
    assert db.runs_df["run_id"].to_list() == ["a"]
    assert "1 files" in " ".join(db.overview().basis.warnings)
    assert not list(tmp_path.rglob("outside.jsonl"))
    assert not Path("/tmp/outside.jsonl").exists()


def test_links_and_devices_are_left_out(tmp_path: Path, db_of: Callable[..., ExperimentDB]) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes(LINE)
    with tarfile.open(tmp_path / "exp.tar", "w") as archive:
        for name, kind in (
            ("b/metrics.jsonl", tarfile.SYMTYPE),
            ("c/metrics.jsonl", tarfile.LNKTYPE),
            ("d", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
        info = tarfile.TarInfo("a/metrics.jsonl")
        info.size = len(LINE)
        archive.addfile(info, io.BytesIO(LINE))
    db = db_of("exp.tar")
    assert db.runs_df["run_id"].to_list() == ["a"]
    assert "3 entries" in " ".join(db.overview().basis.warnings)
    assert not any(p.is_symlink() for p in (tmp_path / "cache").rglob("*"))


def test_a_link_in_a_zip_file_is_left_out(tmp_path: Path, db_of: Callable[..., ExperimentDB]) -> None:
    link = zipfile.ZipInfo("b/metrics.jsonl")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "exp.zip", "w") as archive:
        archive.writestr("a/metrics.jsonl", LINE)
        archive.writestr(link, "/etc/passwd")
    assert db_of("exp.zip").runs_df["run_id"].to_list() == ["a"]


@BOTH
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_not_read(
    tmp_path: Path, db_of: Callable[..., ExperimentDB], monkeypatch: pytest.MonkeyPatch, name: str, make: Make
) -> None:
    monkeypatch.setattr(archive_place, "MOST_FREE", 1 << 20)
    make(tmp_path / name, [("a/metrics.jsonl", b"\n" * (8 << 20))])
    with pytest.raises(PlaceError, match="200 times its size"):
        db_of(name).overview()
    assert not list((tmp_path / "cache").rglob("metrics.jsonl"))


@BOTH
def test_an_archive_of_too_many_entries_is_not_read(
    tmp_path: Path, db_of: Callable[..., ExperimentDB], monkeypatch: pytest.MonkeyPatch, name: str, make: Make
) -> None:
    monkeypatch.setattr(archive_place, "MOST_ENTRIES", 10)
    make(tmp_path / name, [(f"r{i}/metrics.jsonl", LINE) for i in range(11)])
    with pytest.raises(PlaceError, match="more than 10 entries"):
        db_of(name).overview()


@BOTH
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_entries_with_one_name_the_last_counts(
    tmp_path: Path, db_of: Callable[..., ExperimentDB], name: str, make: Make
) -> None:
    make(tmp_path / name, [("a/metrics.jsonl", LINE), ("a/metrics.jsonl", LINE + b'{"step": 3, "loss": 0.5}\n')])
    assert points_of(db_of(name)) == [0.5, 1.0, 2.0]


def test_an_encrypted_zip_file_is_named(tmp_path: Path, db_of: Callable[..., ExperimentDB]) -> None:
    make_zip(tmp_path / "exp.zip", [("a/metrics.jsonl", LINE)])
    data = bytearray((tmp_path / "exp.zip").read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    (tmp_path / "exp.zip").write_bytes(data)
    with pytest.raises(PlaceError, match="encrypted"):
        db_of("exp.zip").overview()


@pytest.mark.parametrize("cut", [0, 10, 100, 700])
@pytest.mark.parametrize("name", ["exp.zip", "exp.tar", "exp.tar.gz", "exp.tar.xz", "exp.tar.zst"])
def test_a_damaged_archive_is_an_error_that_names_it(
    tmp_path: Path, db_of: Callable[..., ExperimentDB], name: str, cut: int
) -> None:
    noise = os.urandom(3000).hex().encode()
    make_tar(tmp_path / "plain", [("a/metrics.jsonl", LINE), ("a/log.txt", noise)], "w")
    plain = (tmp_path / "plain").read_bytes()
    import gzip
    import lzma

    packed = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstd.compress}.get(name.rpartition(".")[2])
    data = packed(plain) if packed else plain
    if name == "exp.zip":
        make_zip(tmp_path / name, [("a/metrics.jsonl", LINE), ("a/log.txt", noise)])
        data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:cut])
    with pytest.raises((PlaceError, FileNotFoundError), match=name):
        db_of(name).overview()


def test_a_damaged_entry_is_said_and_the_others_are_read(tmp_path: Path, db_of: Callable[..., ExperimentDB]) -> None:
    with zipfile.ZipFile(tmp_path / "exp.zip", "w") as archive:  # stored, so that only the checksum shows the damage
        archive.writestr("a/metrics.jsonl", LINE)
        archive.writestr("b/metrics.jsonl", LINE.replace(b"2.0", b"7.0"))
    data = (tmp_path / "exp.zip").read_bytes()
    (tmp_path / "exp.zip").write_bytes(data.replace(b"7.0", b"9.0", 1))
    db = db_of("exp.zip")
    assert db.runs_df["run_id"].to_list() == ["a"]
    assert "b/metrics.jsonl" in " ".join(db.overview().basis.warnings)


def test_weights_in_an_archive_are_not_unpacked(tmp_path: Path, db_of: Callable[..., ExperimentDB]) -> None:
    make_tar(tmp_path / "exp.tar.gz", [("a/metrics.jsonl", LINE), ("a/model.pt", os.urandom(3_000_000))])
    db = db_of("exp.tar.gz")
    assert db.runs_df.height == 1
    (model,) = db.roots[0].rglob("model.pt")
    assert model.stat().st_size == 3_000_000
    assert model.stat().st_blocks * 512 < 100_000


def test_an_archive_below_a_root_is_named_with_what_reads_it(tmp_path: Path) -> None:
    Runs(tmp_path / "exp", 1, 3)
    make_tar(tmp_path / "exp" / "old_runs.tar.gz", [("a/metrics.jsonl", LINE)])
    said = " ".join(open_db(tmp_path / "exp", tmp_path / "cache").overview().basis.warnings)
    assert "old_runs.tar.gz" in said
    assert "--root" in said
