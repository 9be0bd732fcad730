"""A prefix of a bucket is read as the folder that was copied there: the same answers, for few requests."""

from __future__ import annotations

import gc
import json
import os
import shutil
import stat
from collections import Counter
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store, from_url
from polars.testing import assert_frame_equal
from support.buckets import Server
from support.stores import Runs, open_db, points_of

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import PlaceError

CORPUS = os.environ.get("SWEEPLENS_CORPUS", "")
KEY = ["run_id", "metric", "seq"]
LATER = ["touched_at", "updated_at", "created_at", "source", "status"]
"""What depends on the times of files, which an upload does not keep, and on the place."""


class Bucket:
    """A prefix on the server, and what was asked of it."""

    def __init__(self, server: Server, name: str) -> None:
        self.url = f"s3://{server.bucket}/{name}"
        self._server = server
        self.store: S3Store = from_url(self.url)  # pyright: ignore[reportAttributeAccessIssue]

    def copy(self, folder: Path) -> None:
        """Puts every file below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                obstore.put(self.store, path.relative_to(folder).as_posix(), path.read_bytes())

    def put(self, name: str, data: bytes) -> None:
        """Puts one object."""
        obstore.put(self.store, name, data)

    def put_odd(self, key: str, data: bytes = b"odd") -> None:
        """Puts one object under a key that may be no path."""
        self._server.put_key(self.url.partition(f"{self._server.bucket}/")[2] + "/" + key, data)

    def asked(self) -> tuple[int, int, int]:
        """Listings, other requests, and the bytes of the latter since the last call."""
        requests = self._server.asked()
        lists = [r for r in requests if "list-type=2" in r[1]]
        others = [r for r in requests if r not in lists]
        return len(lists), len(others), sum(r[2] for r in others)


@pytest.fixture
def bucket(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty prefix, named `runs` as the folder of `root`."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    made = Bucket(s3, f"{tmp_path.name}/runs")
    made.asked()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The same as a folder."""
    return tmp_path / "runs"


def same_answers(remote: ExperimentDB, local: ExperimentDB) -> None:
    """Both have the same runs, series, points and problems."""
    here, there = local.runs_df.sort("run_id"), remote.runs_df.sort("run_id")
    assert_frame_equal(there.drop(LATER, strict=False), here.drop(LATER, strict=False), check_column_order=False)
    assert_frame_equal(remote.series_df.sort(KEY[:2]), local.series_df.sort(KEY[:2]))
    frames = [db.lazy_query(raw=True).collect().sort(KEY).drop("wall_time") for db in (remote, local)]
    assert_frame_equal(*frames)
    ours, theirs = (sorted((p.line or 0, p.kind) for p in db.refresh().problems) for db in (remote, local))
    assert ours == theirs


def test_gives_the_answers_of_the_folder(sweep: Path, bucket: Bucket, tmp_path: Path) -> None:
    bucket.copy(sweep)
    remote = open_db(bucket.url, tmp_path / "cache")
    same_answers(remote, open_db(sweep, tmp_path / "cache"))
    assert remote.overview().basis.roots == (bucket.url,)
    assert all(source.startswith(bucket.url + "/") for source in remote.runs_df["source"])


@pytest.mark.skipif(not CORPUS, reason="no corpus")
@pytest.mark.parametrize("name", ["tb_torch", "wandb_offline", "optuna", "sacred"])
def test_gives_the_answers_of_the_folder_for_samples(name: str, bucket: Bucket, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(Path(CORPUS) / name, tmp_path / "runs"))
    bucket.copy(folder)
    same_answers(open_db(bucket.url, tmp_path / "cache"), open_db(folder, tmp_path / "cache"))


def test_a_first_answer_over_a_thousand_objects_costs_one_listing_and_the_bytes_of_logs(
    root: Path, bucket: Bucket, tmp_path: Path
) -> None:
    runs = Runs(root, 100, 2)  # each with a log and its settings
    bucket.copy(root)
    for run in range(100):
        for step in range(8):
            bucket.put(f"run{run:04d}/checkpoint-{step}.pt", b"\0" * 9000)
    logged = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    bucket.asked()
    db = open_db(bucket.url, tmp_path / "cache")
    assert bucket.asked() == (0, 0, 0)  # opening asks nothing
    assert points_of(db) == runs.values()
    lists, others, sent = bucket.asked()
    assert lists == 1  # 1,000 objects are one page
    assert others == 200
    assert sent == logged
    db.overview()
    assert bucket.asked() == (1, 0, 0)
    again = open_db(bucket.url, tmp_path / "cache")  # as another process
    assert points_of(again) == runs.values()
    assert bucket.asked() == (1, 0, 0)


def test_fetches_of_a_log_that_grew_only_its_end(root: Path, bucket: Bucket, tmp_path: Path) -> None:
    runs = Runs(root, 1, 20_000)
    bucket.copy(root)
    db = open_db(bucket.url, tmp_path / "cache")
    assert points_of(db) == runs.values()
    bucket.asked()
    runs.append(0, 3)
    bucket.put("run0000/metrics.jsonl", (root / "run0000/metrics.jsonl").read_bytes())
    bucket.asked()
    assert points_of(db) == runs.values()
    lists, _, sent = bucket.asked()
    assert lists == 1
    assert sent < 20_000 < (root / "run0000/metrics.jsonl").stat().st_size


@pytest.mark.parametrize("where", ["head", "tail", "shorter", "same size"])
def test_reads_a_log_that_was_written_again_as_a_whole(root: Path, bucket: Bucket, tmp_path: Path, where: str) -> None:
    before = [f'{{"step": {i}, "loss": {i}.0}}\n' for i in range(2000)]
    bucket.put("a/metrics.jsonl", "".join(before).encode())
    db = open_db(bucket.url, tmp_path / "cache")
    assert points_of(db)[:3] == [0.0, 1.0, 2.0]
    after = list(before)
    if where == "shorter":
        after = after[:10]
    else:
        at = 1 if where == "head" else 1999
        after[at] = after[at].replace(f"{at}.0}}", f"{at}.5}}")
        after += [] if where == "same size" else ['{"step": 2000, "loss": 7777.0}\n']
    bucket.put("a/metrics.jsonl", "".join(after).encode())
    assert points_of(db) == sorted(json.loads(line)["loss"] for line in after)


def test_follows_what_appears_and_what_is_removed(root: Path, bucket: Bucket, tmp_path: Path) -> None:
    runs = Runs(root, 2, 3)
    bucket.copy(root)
    db = open_db(bucket.url, tmp_path / "cache")
    assert db.runs_df.height == 2
    runs.steps.extend([0] * 4)
    runs.begin(5, 4)
    bucket.copy(root)
    assert sorted(db.runs_df["run_id"]) == ["run0000", "run0001", "run0005"]
    obstore.delete(bucket.store, ["run0000/metrics.jsonl", "run0000/config.json"])
    assert sorted(db.runs_df["run_id"]) == ["run0001", "run0005"]


def test_an_outage_leaves_the_last_snapshot_and_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path)
    server.begin()
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        runs = Runs(root, 2, 3)
        bucket = Bucket(server, "runs")
        bucket.copy(root)
        db = open_db(bucket.url, tmp_path / "cache")
        assert points_of(db) == runs.values()
    finally:
        server.end()
    assert points_of(db) == runs.values()
    (said,) = db.overview().basis.warnings
    assert "cannot be read" in said
    assert "Answers show" in said
    later = open_db(bucket.url, tmp_path / "cache")  # a process that begins during the outage
    assert points_of(later) == runs.values()
    with pytest.raises(PlaceError, match="check the address, the network"):
        open_db(bucket.url, tmp_path / "other cache").overview()


def test_says_that_nothing_is_there_and_that_a_bucket_is_missing(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="nothing below"):
        open_db(bucket.url, tmp_path / "cache").overview()
    with pytest.raises(PlaceError, match=r"NoSuchBucket.*no such bucket"):
        open_db("s3://no-such-bucket-here/exp", tmp_path / "cache").overview()


def test_says_that_credentials_are_refused_and_shows_no_secret_of_the_address(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    url = bucket.url.replace("s3://", "s3://me:hunter2@") + "?X-Amz-Signature=hunter3"
    db = open_db(url, tmp_path / "cache")
    with pytest.raises(PlaceError, match="check the credentials") as raised:
        db.overview()
    assert "hunter" not in f"{raised.value}{db!r}{db.root_names}{db.roots}"
    kept = b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())
    assert b"hunter" not in kept


def test_names_that_no_path_can_have_are_counted_and_never_written(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a/metrics.jsonl", b'{"step": 1, "loss": 2.0}\n' * 3)
    bucket.put("b/" + "x" * 300 + "/metrics.jsonl", b'{"step": 1, "loss": 2.0}\n')
    db = open_db(bucket.url, tmp_path / "cache")
    assert "names that no path can have" in " ".join(db.overview().basis.warnings)
    assert db.runs_df.height == 1


def test_the_copy_is_private_and_bounded(root: Path, bucket: Bucket, tmp_path: Path) -> None:
    Runs(root, 3, 5)
    bucket.copy(root)
    bucket.put("large/metrics.jsonl", b'{"step": 1, "loss": 2.0}\n' * 60_000)
    db = open_db(bucket.url, tmp_path / "cache", mirror_megabytes=1)
    said = " ".join(db.overview().basis.warnings)
    assert "1 files" in said
    assert "large/metrics.jsonl" in said
    assert "mirror_megabytes=1" in said
    assert db.runs_df.height == 3
    modes = Counter(stat.S_IMODE(p.stat().st_mode) & 0o077 for p in (tmp_path / "cache/mirrors").glob("**/"))
    if os.name == "posix":
        assert set(modes) == {0}


def test_keeps_nothing_with_a_cache_in_memory(root: Path, bucket: Bucket, tmp_path: Path) -> None:
    Runs(root, 1, 5)
    bucket.copy(root)
    db = ExperimentDB(AnalysisConfig(cache="memory", cache_dir=str(tmp_path / "cache")), bucket.url)
    folder = db.roots[0]
    assert db.runs_df.height == 1
    assert folder.is_dir()
    assert not (tmp_path / "cache").exists()
    del db
    gc.collect()
    assert not folder.exists()


ODD_KEYS = [
    "/top",
    "../out/metrics.jsonl",
    "./here",
    "a/m//metrics.jsonl",
    "a/m/../x",
    "b/\x01t/metrics.jsonl",
    "n//",
    "z/\x7f",
]


@pytest.mark.parametrize("keys", [["/top"], ["a/m//metrics.jsonl"], ODD_KEYS], ids=repr)
def test_keys_that_can_be_no_path_cost_only_themselves(bucket: Bucket, tmp_path: Path, keys: list[str]) -> None:
    for name in ("a/l", "a/m/z", "b/a", "b/d", "n/s", "zz"):
        bucket.put(f"{name}/metrics.jsonl", b'{"step": 1, "loss": 0.5}\n')
    for key in keys:
        bucket.put_odd(key)
    db = open_db(bucket.url, tmp_path / "cache")
    assert set(db.runs_df["run_id"]) == {"a/l", "a/m/z", "b/a", "b/d", "n/s", "zz"}
    (warning,) = db.overview().basis.warnings
    assert "can be no path" in warning
    assert f"and {len(keys) - 3} more" in warning if len(keys) > 3 else repr(keys[0]) in warning


def test_marks_of_folders_are_no_files_that_cannot_be_fetched(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a/metrics.jsonl", b'{"step": 1, "loss": 0.5}\n')
    for key in ("", "a/", "later/", "later/x.json/"):  # as consoles and some clients make folders
        bucket.put_odd(key, b"")
    db = open_db(bucket.url, tmp_path / "cache")
    assert db.runs_df["run_id"].to_list() == ["a"]
    assert not db.overview().basis.warnings
