"""Whatever a folder contains, its other files are read, and unreadable parts are named with place and reason."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import polars as pl
import pytest

from sweeplens import ExperimentDB
from sweeplens.config import AnalysisConfig
from sweeplens.errors import ConfigError, InputError, RootError, UnknownNameError


def steps(
    folder: Path, lines: list[str | bytes], *, name: str = "metrics.jsonl", config: dict[str, object] | None = None
) -> Path:
    """A run folder in native form (b), its lines as given."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    (folder / name).write_bytes(b"\n".join(raw) + b"\n")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def good(n: int = 3) -> list[str | bytes]:
    return [json.dumps({"step": i, "loss": 1.0 / (i + 1)}) for i in range(n)]


def opened(*roots: Path) -> ExperimentDB:
    return ExperimentDB(AnalysisConfig(cache="memory"), base_path=list(roots))


def malformed(db: ExperimentDB) -> list[dict[str, object]]:
    return db.problems.filter(pl.col("kind") == "malformed").to_dicts()


def test_a_missing_folder_is_named_with_the_nearest_that_exists(tmp_path: Path) -> None:
    with pytest.raises(RootError, match="The nearest that exists is"):
        ExperimentDB(base_path=tmp_path / "none" / "deeper")


def test_a_root_that_is_a_file_asks_for_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("{}")
    with pytest.raises(RootError, match="pass the folder that contains it"):
        ExperimentDB(base_path=file)


def test_an_unexpanded_variable_in_a_root_is_recognised() -> None:
    with pytest.raises(RootError, match="unexpanded variable"):
        ExperimentDB(base_path="${workspaceFolder}/experiments")


def test_the_error_for_a_folder_without_experiments_counts_the_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(RootError, match="1 file there belongs to no known format"):
        opened(tmp_path).load_experiments()


def test_a_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    wide = json.dumps({"step": 1, "loss": 0.5, "note": "x" * 10_000_000})
    steps(tmp_path / "run", [*good(1), wide])
    db = opened(tmp_path)
    assert db.query_metrics("^loss$")["value"].to_list() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"step": 9, "loss": \xff\xfe}', "not UTF-8"),
        (b'{"step": 9, "loss": 1.0\x00}', "NUL"),
        (b'{"step": 9, "loss": }', "not JSON"),
        (b"[1, 2]", "a JSON array, not an object"),
        (b"Traceback (most recent call last):", "not JSON"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_reason_and_the_others_count(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    steps(tmp_path / "run", [*good(2), line, json.dumps({"step": 2, "loss": 0.1})])
    db = opened(tmp_path)
    (problem,) = malformed(db)
    assert problem["line"] == 3
    assert any(part in str(problem["reason"]) for part in reason.split("|"))
    assert db.query_metrics("loss").height == 3


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    folder = steps(tmp_path / "run", [])
    (folder / "metrics.jsonl").write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join(s.encode() for s in map(str, good())) + b"\r\n"
    )
    db = opened(tmp_path)
    assert db.query_metrics("loss").height == 3
    assert malformed(db) == []


def test_ten_thousand_distinct_keys_are_ten_thousand_metrics(tmp_path: Path) -> None:
    steps(tmp_path / "run", [json.dumps({"step": 0, **{f"m{i}": i for i in range(10_000)}})])
    db = opened(tmp_path)
    assert db.list_metrics().table.height == 10_000


def test_a_value_nested_a_thousand_deep_does_not_end_the_run(tmp_path: Path) -> None:
    deep = '{"step": 3, "loss": 0.1, "deep": ' + '{"a": ' * 1000 + "1" + "}" * 1000 + "}"
    steps(tmp_path / "run", [*good(3), deep], config={"lr": 0.1})
    db = opened(tmp_path)
    assert db.query_metrics("^loss$").height in (3, 4)
    assert db.query_metrics("^loss$").height + len(malformed(db)) == 4


def test_equal_run_ids_get_the_shortest_path_that_tells_them_apart(tmp_path: Path) -> None:
    for part in ("a", "b"):
        run = {"run_id": "same", "hyperparameters": {"lr": 0.1}, "metrics": {"loss": [1.0]}}
        (tmp_path / part).mkdir()
        (tmp_path / part / "runs.jsonl").write_text(json.dumps(run) + "\n")
    assert opened(tmp_path).runs_df["run_id"].to_list() == ["same@a/runs.jsonl", "same@b/runs.jsonl"]


def test_equal_run_ids_in_one_file_are_two_runs(tmp_path: Path) -> None:
    runs = [{"run_id": "same", "hyperparameters": {}, "metrics": {"loss": [float(i)]}} for i in range(2)]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in runs))
    db = opened(tmp_path)
    assert db.runs_df.height == 2
    assert sorted(db.query_metrics("loss")["value"].to_list()) == [0.0, 1.0]
    assert db.problems["reason"].str.contains("again").any()


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_loop_of_symbolic_links_ends_and_a_link_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    steps(root / "run", good())
    (root / "run" / "loop").symlink_to(root)
    steps(tmp_path / "outside" / "secret", good())
    (root / "out").symlink_to(tmp_path / "outside")
    assert opened(root).runs_df["run_id"].to_list() == ["run"]


def test_a_metric_named_like_a_path_is_a_name(tmp_path: Path) -> None:
    steps(tmp_path / "run", [json.dumps({"step": 0, "../x": 1.0, "..\\y": 2.0})])
    db = opened(tmp_path)
    assert db.query_metrics(["../x"])["value"].to_list() == [1.0]
    assert db.query_metrics(["..\\y"])["value"].to_list() == [2.0]


def test_an_invalid_regular_expression_is_an_error_with_a_reason(tmp_path: Path) -> None:
    steps(tmp_path / "run", good())
    with pytest.raises(InputError, match="not a regular expression"):
        opened(tmp_path).query_metrics("loss[")


def test_unknown_names_come_with_the_nearest(tmp_path: Path) -> None:
    steps(tmp_path / "run", [json.dumps({"step": 0, "val/acc": 1.0})], config={"optim": {"lr": 0.1}})
    db = opened(tmp_path)
    with pytest.raises(UnknownNameError, match="Nearest: 'val/acc'"):
        db.query_metrics("val_acc")
    with pytest.raises(UnknownNameError, match=r"Nearest: 'optim.lr'"):
        db.summarize(["optim_lr"])
    with pytest.raises(UnknownNameError, match="Nearest: 'run'"):
        db.get_run("run1")
    with pytest.raises(UnknownNameError, match=r"Nearest: 'optim.lr'"):
        db.list_runs(where='"optim.lrr" > 1')


def test_nan_and_infinities_are_values(tmp_path: Path) -> None:
    steps(
        tmp_path / "run", ['{"step": 0, "loss": NaN}', '{"step": 1, "loss": Infinity}', '{"step": 2, "loss": "-inf"}']
    )
    values = opened(tmp_path).query_metrics("loss")["value"].to_list()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_a_torn_last_line_is_no_problem_until_the_file_stops_growing(tmp_path: Path) -> None:
    folder = steps(tmp_path / "run", [])
    path = folder / "metrics.jsonl"
    path.write_text(json.dumps({"step": 0, "loss": 1.0}) + '\n{"step": 1, "lo')
    assert opened(tmp_path).problems.height == 0
    os.utime(path, (1, 1))
    assert opened(tmp_path).problems["kind"].to_list() == ["torn"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    steps(tmp_path / "good", good())
    bad = steps(tmp_path / "bad", good()) / "metrics.jsonl"
    bad.chmod(0)
    assert opened(tmp_path).runs_df["run_id"].to_list() == ["good"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may enter everything")
def test_a_folder_whose_names_alone_may_be_read_is_said_to_be_unreadable(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    steps(root / "good", good())
    steps(root / "bad", good())
    db = ExperimentDB(AnalysisConfig(cache="memory", refresh_seconds=0), base_path=root)
    try:
        (root / "bad").chmod(0o444)
        assert any("bad/metrics.jsonl" in text for text in db.overview().basis.warnings)
        root.chmod(0o444)
        with pytest.raises(RootError, match="Permission denied"):
            db.overview()
    finally:
        root.chmod(0o755)
        (root / "bad").chmod(0o755)
    assert db.runs_df.height == 2


def test_a_damaged_archive_is_a_problem_and_not_an_end(tmp_path: Path) -> None:
    import gzip

    whole = gzip.compress("\n".join(map(str, good(2000))).encode())
    folder = tmp_path / "zipped"
    folder.mkdir()
    (folder / "metrics.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    steps(tmp_path / "run", good())
    db = opened(tmp_path)
    assert "run" in db.runs_df["run_id"].to_list()


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_copies_are_read_as_what_they_hold(tmp_path: Path, suffix: str) -> None:
    import gzip

    from sweeplens.readers.decoding.zstd import zstd

    data = ("\n".join(map(str, good(100))) + "\n").encode()
    folder = tmp_path / "run"
    folder.mkdir()
    packed = gzip.compress(data) if suffix == "gz" else zstd.compress(data)
    (folder / f"metrics.jsonl.{suffix}").write_bytes(packed)
    assert opened(tmp_path).query_metrics("loss").height == 100


def test_paths_may_hold_spaces_and_any_script(tmp_path: Path) -> None:
    root = tmp_path / "méi xperiments 實驗"
    steps(root / "run é 1", good(), config={"modèle": "größe"})
    db = opened(root)
    assert db.runs_df["run_id"].to_list() == ["run é 1"]
    assert db.runs_df["modèle"].to_list() == ["größe"]


def test_several_roots_are_one_database_and_overlapping_ones_count_once(tmp_path: Path) -> None:
    steps(tmp_path / "a" / "run", good())
    steps(tmp_path / "b" / "run", good())
    assert opened(tmp_path / "a", tmp_path / "b").runs_df.height == 2
    assert opened(tmp_path, tmp_path / "a").runs_df.height == 2


def test_a_setting_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Nearest: 'metric_goals'"):
        AnalysisConfig(metric_goal={"a": "lower"})
    with pytest.raises(ConfigError, match="ANALYSIS_METRIC_GOALS"):
        AnalysisConfig(metric_goals={"a": "down"})


@pytest.mark.parametrize(
    "condition",
    ["lr >", "SELECT 1", "run_id IN (SELECT * FROM read_csv('/etc/passwd'))", "1", "status", "x" * 5000, "lr ~ '('"],
)
def test_a_condition_that_cannot_be_used_is_an_error_and_reads_nothing_else(tmp_path: Path, condition: str) -> None:
    steps(tmp_path / "run", good(), config={"lr": 0.1})
    with pytest.raises(InputError):
        opened(tmp_path).list_runs(where=condition)


@pytest.mark.parametrize(
    "text",
    [
        "lr: 1\0",
        "lr: \x07",
        "lr: [1",
        "\n".join(f"{' ' * depth}a:" for depth in range(1000)),
        "a: &x [*x]",
        "lr: \ud800",
    ],
)
def test_a_config_that_cannot_be_read_is_a_problem_and_the_run_is_there(tmp_path: Path, text: str) -> None:
    run = steps(tmp_path / "run", good())
    (run / "config.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    db = opened(tmp_path)
    assert db.query_metrics("loss").height == 3
    (problem,) = malformed(db)
    assert problem["file"] == str(run / "config.yaml")


def test_a_config_of_numbers_only_is_no_run_of_its_own(tmp_path: Path) -> None:
    steps(tmp_path / "run", good(), config={"lr": 0.1, "seed": 0, "epochs": 3})
    assert opened(tmp_path).runs_df["run_id"].to_list() == ["run"]
