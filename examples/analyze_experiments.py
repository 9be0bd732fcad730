"""The four workflows of the library: ``python examples/analyze_experiments.py DIR``.

basic_analysis      load, look, filter, summarize
lazy_evaluation     folders larger than memory: build the query first, stream the rest
legacy_migration    a run of an older system becomes a `Run`, and runs become tables
custom_aggregation  your own statistics, in Polars, over the frames
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from sweeplens import AnalysisConfig, ExperimentDB, Run
from sweeplens.dataframes import runs_to_dataframe, runs_to_metrics_df
from sweeplens.parsers import convert_legacy_format


def basic_analysis(folder: Path) -> pl.DataFrame:
    """What was read, what varies, and the mean of the last accuracy by learning rate."""
    config = AnalysisConfig(experiment_dir=str(folder), metric_display_names={"val/acc": "Validation accuracy"})
    db = ExperimentDB(config)
    report = db.load_experiments()
    print(f"{report.n_runs} runs, {report.n_points} points, {report.n_malformed} malformed lines")
    print(db.find_varying().select("hparam", "n_values", "same_as"))
    return db.summarize_metrics(["optim.lr"], metrics=["val/acc"], where="status = 'finished'")


def lazy_evaluation(folder: Path) -> pl.DataFrame:
    """The lowest training loss of each run, of which only the result is ever in memory."""
    db = ExperimentDB(base_path=folder, lazy=True)
    query = db.lazy_query().filter((pl.col("metric") == "train/loss") & pl.col("value").is_finite())
    best = query.group_by("run_id").agg(pl.col("value").min().alias("lowest")).collect()
    streamed = sum(batch.height for batch in db.stream_metrics())
    print(f"{streamed} points went by in batches")
    return best.sort("lowest")


def legacy_migration() -> pl.DataFrame:
    """A dictionary of the earlier system as a `Run`, and its metrics as rows."""
    history = [{"epoch": e, "train/loss": 2.0 / (e + 1), "val/acc": 0.5 + 0.1 * e} for e in range(4)]
    old = {"name": "resnet_2019", "config": {"optim": {"lr": 0.1}}, "history": history}
    run = Run(**convert_legacy_format(old))
    print(f"{run.run_id}: best accuracy {run.best_val_acc}, last epoch {run.final_epoch}")
    print(runs_to_dataframe([run]))
    return runs_to_metrics_df([run])


def custom_aggregation(folder: Path) -> pl.DataFrame:
    """How far the validation loss lies above the training loss at the end, by learning rate: the median over runs."""
    db = ExperimentDB(base_path=folder)
    ends = db.series_df.pivot("metric", index="run_id", values="last_finite")
    gap = ends.select("run_id", gap=pl.col("val/loss") - pl.col("train/loss"))
    joined = gap.join(db.runs_df.select("run_id", "optim.lr"), on="run_id")
    return joined.group_by("optim.lr").agg(pl.col("gap").median(), runs=pl.len()).sort("optim.lr")


def main(folder: Path) -> None:
    """All four, one after the other."""
    for workflow in (basic_analysis, lazy_evaluation, custom_aggregation):
        print(f"\n== {workflow.__name__}\n{workflow(folder)}")
    print(f"\n== legacy_migration\n{legacy_migration()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(
            "usage: python examples/analyze_experiments.py DIR, a folder of experiments (`sweeplens demo sweep --write-only`)"
        )
    main(Path(sys.argv[1]))
