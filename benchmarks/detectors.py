"""False alarms and detections of `diagnose_runs` over a library of curve shapes: `python benchmarks/detectors.py [DRAWS FIRST]`.

Each shape of `support/curve_shapes.py` is drawn with fixed seeds, one run a draw, and diagnosed together with its like.
Printed: the share of healthy runs with a finding of high or medium severity, by detector and by shape; and for each fault the
share found, the share found as high or medium, and how often the step lies within 2 % of the run's length of the fault's
beginning. Every share stands with its Monte-Carlo standard error.
"""

from __future__ import annotations

import sys
import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from support.curve_shapes import HEALTHY, SICK, DrawnRun

from sweeplens.analyses.triage.diagnosis import DiagnosisOptions, diagnose
from sweeplens.config import Thresholds
from sweeplens.frames.points import reduce_series
from sweeplens.frames.schemas import POINTS_SCHEMA

NOW = datetime(2026, 1, 10, tzinfo=UTC)
NEAR = 0.02  # of the run's length


def generator(name: str, draw: int) -> np.random.Generator:
    """The same numbers for the same shape and draw, in every process."""
    return np.random.default_rng([zlib.crc32(name.encode()), draw])


def findings(drawn: list[DrawnRun]) -> pl.DataFrame:
    """The findings of these runs, diagnosed together; run_id is the place in the list."""
    points = pl.concat([_points(str(i), run) for i, run in enumerate(drawn)])
    series = reduce_series(points)
    lengths = dict(points.group_by("run_id").agg(pl.col("step").max()).iter_rows())
    runs = pl.DataFrame(
        {
            "run_id": list(lengths), "status": ["finished"] * len(lengths), "format": ["planted"] * len(lengths),
            "created_at": [NOW - timedelta(days=2)] * len(lengths), "updated_at": [NOW] * len(lengths),
            "n_steps": list(lengths.values()), "null_hparams": pl.Series([[]] * len(lengths), dtype=pl.List(pl.String)),
        }
    )  # fmt: skip
    return diagnose(runs, series, points.lazy(), DiagnosisOptions(Thresholds(), NOW)).table


def _points(run_id: str, run: DrawnRun) -> pl.DataFrame:
    frames = [
        pl.DataFrame(
            {"run_id": run_id, "metric": metric, "step": np.arange(len(v)), "value": v, "seq": np.arange(len(v))}
        )
        for metric, v in run.curves.items()
    ]
    return pl.concat(frames).with_columns(wall_time=None).select(*POINTS_SCHEMA).cast(POINTS_SCHEMA)  # pyright: ignore[reportArgumentType]


def false_alarms(draws: int, first: int = 0) -> tuple[dict[str, float], Counter[str]]:
    """shape -> share of its healthy runs with a finding of high or medium severity, and how many runs by finding."""
    shares: dict[str, float] = {}
    kinds: Counter[str] = Counter()
    for name, shape in HEALTHY.items():
        found = findings([shape(generator(name, first + i)) for i in range(draws)])
        grave = found.filter(pl.col("severity") != "low").unique(["run_id", "finding"])
        kinds.update(grave["finding"].to_list())
        shares[name] = grave["run_id"].n_unique() / draws
    return shares, kinds


def low_alarms(draws: int, first: int = 0) -> Counter[str]:
    """How many healthy runs have a finding of low severity, by finding."""
    kinds: Counter[str] = Counter()
    for name, shape in HEALTHY.items():
        found = findings([shape(generator(name, first + i)) for i in range(draws)]).filter(pl.col("severity") == "low")
        kinds.update(found.unique(["run_id", "finding"])["finding"].to_list())
    return kinds


def detection(name: str, draws: int, first: int = 0) -> tuple[float, float, float]:
    """Share of these sick runs found, found as high or medium, and (of those found) with the step within 2 %."""
    sick = SICK[name]
    drawn = [sick.draw(generator(name, first + i)) for i in range(draws)]
    found = findings(drawn).filter(pl.col("finding").is_in(list(sick.findings)))
    near = {row["run_id"] for row in found.iter_rows(named=True) if _near(drawn[int(row["run_id"])], row["step"])}
    n = found["run_id"].n_unique()
    grave = found.filter(pl.col("severity") != "low")["run_id"].n_unique()
    return n / draws, grave / draws, len(near) / n if n else 0.0


def _near(run: DrawnRun, step: int | None) -> bool:
    length = max(len(v) for v in run.curves.values())
    return step is not None and run.onset is not None and abs(step - run.onset) <= max(NEAR * length, 1)


def error(share: float, n: int) -> str:
    """A share with its Monte-Carlo standard error, in percent."""
    return f"{100 * share:.1f} ± {100 * (max(share * (1 - share), 0.25 / n) / n) ** 0.5:.1f} %"


def main(draws: int = 100, first: int = 0) -> None:
    """Print the section of `benchmarks/README.md`."""
    shares, kinds = false_alarms(draws, first)
    total = draws * len(HEALTHY)
    alarmed = sum(shares.values()) / len(shares)
    print("## What a diagnosis sees\n")
    print(f"`python benchmarks/detectors.py`: {len(HEALTHY)} healthy and {len(SICK)} sick shapes, {draws} draws each\n")
    print(f"Healthy runs with a finding of high or medium severity: {error(alarmed, total)} (aim: at most 1 %).\n")
    print("| detector | false alarms of high or medium severity | of low severity |\n|---|---|---|")
    mild = low_alarms(draws, first)
    for kind in sorted({*kinds, *mild}):
        print(f"| {kind} | {error(kinds[kind] / total, total)} | {error(mild[kind] / total, total)} |")
    print(
        "\nShapes with any: " + ", ".join(f"{n} {s:.0%}" for n, s in sorted(shares.items(), key=lambda x: -x[1]) if s)
    )
    print("\n| fault | found | as high or medium | step within 2 % |\n|---|---|---|---|")
    for name in SICK:
        seen, grave, near = detection(name, draws, first)
        print(f"| {name} | {error(seen, draws)} | {100 * grave:.0f} % | {100 * near:.0f} % |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
