"""Only files below the roots are read, even if a path changes before it is opened; and each source has limits on its cost."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import FormatError, RootError
from sweeplens.ingest.entries import within_limits
from sweeplens.parsers import parse_jsonl_file
from sweeplens.readers import READERS
from sweeplens.readers.decoding.zstd import zstd
from sweeplens.readers.lazy_reader import loaded_reader
from sweeplens.readers.protocol import Source
from sweeplens.sources.discover import discover

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, FIFOs and descriptors of folders")

ROW = b'{"step": 1, "loss": 0.5}\n'
_TABLE = b"step,loss\n" + b"".join(b"%d,2\n" % step for step in range(1000))
SECRET = b'{"step": 1, "secret": 42.0}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one healthy run."""
    healthy = tmp_path / "root" / "healthy"
    healthy.mkdir(parents=True)
    (healthy / "metrics.jsonl").write_bytes(b"".join(ROW.replace(b"1", str(i).encode()) for i in range(1, 11)))
    return tmp_path / "root"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A folder beside the root, with a log that must not be read."""
    outside = tmp_path / "outside" / "run"
    outside.mkdir(parents=True)
    (outside / "metrics.jsonl").write_bytes(SECRET)
    return outside


def database(*roots: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=list(roots))


def reasons(db: ExperimentDB) -> str:
    return " ".join(db.problems["reason"].to_list())


def sources(root: Path) -> Iterator[Source]:
    """What a walk finds; what is done with it meanwhile is done between the walk and the opening."""
    yield from discover([root], READERS).sources


def read(source: Source) -> list[str]:
    reader = next(r for r in READERS if r.name == source.reader)
    with within_limits([source]):
        return loaded_reader(reader).read(source, None).points["metric"].unique().to_list()


def test_a_log_that_becomes_a_fifo_after_the_walk_is_refused_at_once(root: Path) -> None:
    (source,) = sources(root)
    log = root / "healthy" / "metrics.jsonl"
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(OSError, match="is now a FIFO"):
        read(source)


def test_a_log_that_becomes_a_link_after_the_walk_is_not_followed_outside(root: Path, secret: Path) -> None:
    (source,) = sources(root)
    log = root / "healthy" / "metrics.jsonl"
    log.unlink()
    log.symlink_to(secret / "metrics.jsonl")
    with pytest.raises(OSError, match="outside of the root"):
        read(source)


def test_a_folder_that_becomes_a_link_after_the_walk_is_not_followed_outside(root: Path, secret: Path) -> None:
    (source,) = sources(root)
    shutil.rmtree(root / "healthy")
    (root / "healthy").symlink_to(secret)
    with pytest.raises(OSError, match="outside of the root"):
        read(source)


@pytest.mark.parametrize("name", ["config.json", "config.yaml"])
def test_a_sidecar_that_becomes_a_link_or_a_fifo_is_a_problem_of_its_own(root: Path, secret: Path, name: str) -> None:
    config = root / "healthy" / name
    config.write_text('{"lr": 1}')
    (source,) = sources(root)
    hidden = secret / name
    hidden.write_text('{"password": "x"}')
    config.unlink()
    config.symlink_to(hidden)
    reader = loaded_reader(next(r for r in READERS if r.name == source.reader))
    with within_limits([source]):
        linked = reader.read(source, None)
    config.unlink()
    os.mkfifo(config)
    with within_limits([source]):
        fifo = reader.read(source, None)
    assert not linked.runs[0].hyperparameters
    assert not fifo.runs[0].hyperparameters
    assert "outside" in linked.problems[0].reason
    assert "FIFO" in fifo.problems[0].reason
    assert linked.points.height == fifo.points.height == 10


def test_links_to_files_inside_the_root_are_read_and_those_that_lead_outside_are_not(root: Path, secret: Path) -> None:
    for name, target in (("inside", root / "healthy" / "metrics.jsonl"), ("outside", secret / "metrics.jsonl")):
        (root / name).mkdir()
        (root / name / "metrics.jsonl").symlink_to(target)
    assert database(root).runs_df["run_id"].to_list() == ["healthy", "inside"]


def test_a_database_that_becomes_a_link_after_the_walk_is_not_read(root: Path, secret: Path) -> None:
    script = """
    CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
    CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT, run_name TEXT, config TEXT, created_at TEXT);"""
    for path in (root / "trackio.db", secret / "trackio.db"):
        with sqlite3.connect(path) as connection:
            connection.executescript(script)
        connection.close()
    source = next(s for s in sources(root) if s.path.endswith(".db"))
    (root / "trackio.db").unlink()
    (root / "trackio.db").symlink_to(secret / "trackio.db")
    with pytest.raises((OSError, FormatError), match="outside of the root"):
        read(source)


def test_a_root_that_becomes_a_link_is_reported_and_not_followed(root: Path, secret: Path) -> None:
    db = database(root)
    assert db.runs_df.height == 1
    root.rename(root.with_name("moved"))
    root.symlink_to(secret.parent)
    with pytest.raises(RootError, match="is now a link"):
        db.overview()


def test_a_root_that_disappears_is_reported_and_answers_return_with_it(root: Path) -> None:
    db = database(root)
    assert db.runs_df.height == 1
    root.rename(root.with_name("away"))
    with pytest.raises(RootError, match="is gone"):
        db.list_runs()
    root.with_name("away").rename(root)
    assert db.list_runs().table.height == 1
    assert not db.list_runs().basis.warnings


def test_one_of_several_roots_that_disappears_is_reported_in_every_answer(root: Path, secret: Path) -> None:
    db = database(root, secret)
    assert db.runs_df.height == 2
    shutil.rmtree(root)
    for answer in (db.overview(), db.list_runs()):
        assert any("is gone" in w and str(root) in w for w in answer.basis.warnings)
    assert db.runs_df["format"].len() == 1


def test_a_root_that_is_deleted_and_created_again_is_reported(root: Path) -> None:
    db = database(root)
    assert db.runs_df["run_id"].to_list() == ["healthy"]
    shutil.rmtree(root)
    (root / "other").mkdir(parents=True)
    (root / "other" / "metrics.jsonl").write_bytes(ROW)
    answer = db.list_runs()
    assert answer.table["run_id"].to_list() == ["other"]
    assert any("created again" in w for w in answer.basis.warnings)


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.csv", "history.json", "config.json"])
def test_a_sparse_file_of_100_gb_is_a_problem_and_the_healthy_run_is_there(root: Path, name: str) -> None:
    odd = root / "odd" / name
    odd.parent.mkdir()
    begin = b'{"run_id": "a", "metrics": {"loss": [1' if name.startswith("h") else _TABLE
    odd.write_bytes(begin if name.endswith(("csv", "history.json")) else ROW)
    os.truncate(odd, 100 << 30)
    if name == "config.json":  # beside a log; beside another log the file would be its copy, which is not opened
        (odd.parent / "log.jsonl").write_bytes(ROW)
    db = database(root)
    assert "healthy" in db.runs_df["run_id"].to_list()
    assert "MB" in reasons(db)


@pytest.mark.parametrize(("name", "head", "unit"), [
    ("metrics.jsonl.gz", ROW, b"\0"), ("metrics.jsonl.zst", ROW, b"\0"), ("metrics.csv.gz", b"step,loss\n1,2\n", b"0"),
    ("metrics.csv.zst", b"step,loss\n1,2\n", b"\n"), ("history.json.gz", b'{"run_id": "a", "metrics": {"loss": [1', b" "),
])  # fmt: skip
def test_compressed_bombs_end_early(root: Path, name: str, head: bytes, unit: bytes) -> None:
    odd = root / "odd" / name
    odd.parent.mkdir()
    piece = unit * (1 << 20)
    with odd.open("wb") as raw:
        packer = (
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1)
            if name.endswith("gz")
            else zstd.ZstdFile(raw, "w", level=1)
        )
        with packer as stream:
            stream.write(head)
            for _ in range(200):
                stream.write(piece)
    db = database(root)
    assert "healthy" in db.runs_df["run_id"].to_list()
    assert "decompresses" in reasons(db) or "a line of more than" in reasons(db)


@pytest.mark.parametrize(("most", "text", "said"), [
    (100_000, "- 1\n" * 2_000_000, "2 MB of YAML"), (1000, "- 1\n" * 1200, "1,000 values"),
])  # fmt: skip
def test_much_yaml_is_a_problem_of_its_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, most: int, text: str, said: str
) -> None:
    monkeypatch.setattr("sweeplens.readers.decoding.loose_yaml.YAML_VALUES", most)
    (root / "healthy" / "config.yaml").write_text(text)
    db = database(root)
    assert db.runs_df["run_id"].to_list() == ["healthy"]
    assert said in reasons(db)


def test_lines_are_the_same_in_pieces_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(
        b"".join(json.dumps({"step": i, "text": "x" * (i % 37)}).encode() + b"\n" for i in range(500)) + ROW[:9]
    )
    whole = parse_jsonl_file(log)
    for size in (1, 7, 64, 4096):
        monkeypatch.setattr("sweeplens.readers.decoding.compression._LINES_BYTES", size)
        assert parse_jsonl_file(log) == whole
    assert len(whole[0]) == 500


CHILD = """
import resource, sys
resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]), int(sys.argv[2])))
from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.errors import SweeplensError
try:
    db = ExperimentDB(AnalysisConfig(cache=sys.argv[4], cache_dir=sys.argv[5]), base_path=sys.argv[3])
    db.load_experiments()
    print(db.runs_df["hp.lr"].to_list() if "hp.lr" in db.runs_df.columns else db.runs_df.columns, db.problems.height)
except SweeplensError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
@pytest.mark.parametrize(
    ("limit", "value", "cache"),
    [
        ("RLIMIT_AS", 3_000_000 << 10, "memory"),
        ("RLIMIT_AS", 3_000_000 << 10, "disk"),
        ("RLIMIT_NOFILE", 16, "memory"),
        ("RLIMIT_NOFILE", 8, "memory"),
        *(("RLIMIT_NOFILE", value, "disk") for value in (8, 12, 14, 16, 18)),
    ],
)
def test_under_the_limits_of_a_cluster_a_log_is_read_or_a_sentence_says_what_to_do(
    root: Path, tmp_path: Path, limit: str, value: int, cache: str
) -> None:
    (root / "healthy" / "config.json").write_text('{"lr":1}')
    child = subprocess.run(
        [sys.executable, "-c", CHILD, limit, str(value), str(root), cache, str(tmp_path / "cache")],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "POLARS_MAX_THREADS": "2"},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-500:]
    assert child.stdout.strip().endswith(" 0") or "ulimit -n" in child.stdout
    assert "Traceback" not in child.stderr
