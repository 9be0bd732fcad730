"""The samples of `tests/data`: made by our own generator, read in every form with the same numbers."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import polars as pl
import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens.parsers import load_runs_from_dir, parse_jsonl_file

DATA = Path(__file__).parents[1] / "data"
SETTLED = AnalysisConfig(cache="memory", live_seconds=1e-6)


def plain_bytes(path: Path) -> bytes:
    """What a file says: how gzip packs it differs between versions of zlib."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_the_samples_are_what_the_generator_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_samples", DATA / "make_samples.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.write_samples(tmp_path)
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) == 14
    assert [f for f in files if plain_bytes(DATA / f) != plain_bytes(tmp_path / f)] == []


def test_both_native_forms_give_the_same_series() -> None:
    steps = ExperimentDB(SETTLED, DATA / "native_steps").series_df
    whole = ExperimentDB(SETTLED, DATA / "native_runs").series_df
    columns = ["n_logged", "min", "max"]
    mine = steps.filter(pl.col("metric").is_in(["train/loss", "val/acc"])).sort("run_id", "metric")
    plain = whole.filter(~pl.col("run_id").str.starts_with("packed")).sort("run_id", "metric")
    assert mine.select("run_id", "metric", *columns).equals(plain.select("run_id", "metric", *columns))


def test_a_gzipped_file_reads_like_the_plain_one() -> None:
    series = ExperimentDB(SETTLED, DATA / "native_runs").series_df
    packed = pl.col("run_id").str.starts_with("packed ")
    renamed = series.filter(packed).with_columns(pl.col("run_id").str.strip_prefix("packed "))
    assert renamed.sort("run_id", "metric").equals(series.filter(~packed).sort("run_id", "metric"))


@pytest.mark.parametrize("form", ["native_steps", "native_runs"])
def test_lazy_and_eager_give_equal_answers(form: str) -> None:
    lazy, eager = (ExperimentDB(SETTLED, DATA / form, lazy=way) for way in (True, False))
    assert lazy.runs_df.equals(eager.runs_df)
    assert lazy.series_df.equals(eager.series_df)
    assert lazy.lazy_query().collect().equals(eager.lazy_query().collect())


def test_run_objects_hold_what_the_database_holds() -> None:
    runs = load_runs_from_dir(DATA / "native_runs")
    series = ExperimentDB(SETTLED, DATA / "native_runs").series_df
    lasts = {(r, m): v for r, m, v in series.select("run_id", "metric", "last").iter_rows()}
    assert len(runs) == 12
    for run in runs:
        assert run.last("train/loss") == pytest.approx(lasts[run.run_id, "train/loss"], nan_ok=True)


def test_each_malformed_line_of_a_file_is_kept_with_its_number() -> None:
    objects, problems = parse_jsonl_file(DATA / "native_steps" / "lr0.1_bs64_s0" / "metrics.jsonl")
    lines = (DATA / "native_steps" / "lr0.1_bs64_s0" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(objects) + len(problems) == len(lines)
    assert [lines[(p.line or 0) - 1].startswith('{"step"') for p in problems] == [False, True]
