"""Error rates and power of the claims in answers, by simulation, each with its Monte-Carlo error.

    python benchmarks/error_rates.py [SWEEPS]

Prints a table: the configuration, the rate of the method in use, and that of the one it replaced (Holm over all pairs with the
larger of pooled and own errors for rankings; paired by habit for comparisons).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from sweeplens.analyses.bests import gap_significance
from sweeplens.analyses.statistics import paired_t, welch
from sweeplens.analyses.verdicts import contrast

Group = NDArray[np.float64]
RANKINGS: dict[str, tuple[Sequence[float], Sequence[float], Sequence[int]]] = {
    "equal, 4 groups x 3": ([0] * 4, [1] * 4, [3] * 4),
    "equal, 10 groups x 3": ([0] * 10, [1] * 10, [3] * 10),
    "one 3 times the spread, 4 x 3": ([0] * 4, [1, 1, 1, 3], [3] * 4),
    "one 10 times the spread, 4 x 3": ([0] * 4, [1, 1, 1, 10], [3] * 4),
    "one 10 times the spread, 4 x 5": ([0] * 4, [1, 1, 1, 10], [5] * 4),
    "one 3 times the spread, 10 x 5": ([0] * 10, [*[1] * 9, 3], [5] * 10),
    "equal, 4 groups x 2": ([0] * 4, [1] * 4, [2] * 4),
    "one 3 times the spread, 4 x 2": ([0] * 4, [1, 1, 1, 3], [2] * 4),
    "one 10 times the spread, 4 x 2": ([0] * 4, [1, 1, 1, 10], [2] * 4),
    "one 3 times the spread, 10 x 2": ([0] * 10, [*[1] * 9, 3], [2] * 10),
    "one 10 times the spread, 10 x 2": ([0] * 10, [*[1] * 9, 10], [2] * 10),
    "one of 2 runs and 5 times the spread, others of 10": ([0] * 4, [1, 1, 1, 5], [10, 10, 10, 2]),
    "one small of 5 times the spread, 6 groups": ([0] * 6, [*[1] * 5, 5], [*[10] * 5, 3]),
    "power: best 10 sd ahead, 4 x 2": ([10, 0, 0, 0], [1] * 4, [2] * 4),
    "power: best 3 sd ahead, 4 x 3": ([3, 0, 0, 0], [1] * 4, [3] * 4),
    "power: best 3 sd ahead, 10 x 3": ([3, *[0] * 9], [1] * 10, [3] * 10),
    "power: best 3 sd ahead, 4 x 5": ([3, 0, 0, 0], [1] * 4, [5] * 4),
}


def _followers(groups: Sequence[Group]) -> list[float]:
    ordered = sorted(groups, key=lambda g: -float(g.mean()))
    found = gap_significance(
        [len(g) for g in ordered], [float(g.mean()) for g in ordered], [float(g.var(ddof=1)) for g in ordered]
    )
    return [p for p in found.p[1:] if p is not None]


def _followers_before(groups: Sequence[Group]) -> list[float]:
    """Holm over all pairs, the larger of the pooled error and the pair's own, the pooled degrees of freedom."""
    ordered = sorted(groups, key=lambda g: -float(g.mean()))
    n = np.array([len(g) for g in ordered])
    mean, var = (np.array([float(f(g)) for g in ordered]) for f in (np.mean, lambda g: np.var(g, ddof=1)))
    df = int((n - 1).sum())
    pooled = float(((n - 1) * var).sum()) / df
    one, other = np.triu_indices(len(n), 1)
    square = np.maximum(var[one] / n[one] + var[other] / n[other], pooled * (1 / n[one] + 1 / n[other]))
    p = 2 * stdtr(df, -np.abs(mean[one] - mean[other]) / np.sqrt(square))
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return adjusted[: len(n) - 1].tolist()


def _ranking_rate(name: str, method: Callable[[Sequence[Group]], list[float]], sweeps: int) -> float:
    means, spreads, sizes = RANKINGS[name]
    rng = np.random.default_rng(1)
    every = name.startswith("power")
    hits = 0
    for _ in range(sweeps):
        ps = method([rng.normal(m, s, n) for m, s, n in zip(means, spreads, sizes, strict=True)])
        hits += all(p < 0.05 for p in ps) if every else any(p < 0.05 for p in ps)
    return hits / sweeps


def _comparison_rate(shared: float, effect: float, seeds: int, sweeps: int, *, habit: bool) -> float:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(sweeps):
        seed = rng.normal(size=seeds) * math.sqrt(shared)
        a, b = (list(seed + rng.normal(size=seeds) * math.sqrt(1 - shared)) for _ in range(2))
        a = [v + effect for v in a]
        p = (paired_t(a, b) or welch(a, b)) if habit else contrast(a, b, paired=True, noise=None)
        hits += p is not None and (p.p or 1) < 0.05
    return hits / sweeps


def _shown(name: str, now: float, before: float, sweeps: int) -> None:
    errors = [100 * math.sqrt(max(r * (1 - r), 1 / sweeps) / sweeps) for r in (now, before)]
    print(f"| {name} | {100 * now:.1f} +- {errors[0]:.1f} | {100 * before:.1f} +- {errors[1]:.1f} |", flush=True)


def main(sweeps: int) -> None:
    """Both tables, in percent."""
    print(f"| ranking ({sweeps} sweeps): a follower called worse, or power | now, % | before, % |\n|---|---|---|")
    for name in RANKINGS:
        _shown(name, _ranking_rate(name, _followers, sweeps), _ranking_rate(name, _followers_before, sweeps), sweeps)
    print(f"\n| comparison ({sweeps} sweeps) of 5 equal seeds a side | now, % | paired by habit, % |\n|---|---|---|")
    for shared in (0.0, 0.5, 0.9):
        for effect in (0.0, 1.5):
            rates = [_comparison_rate(shared, effect, 5, sweeps, habit=h) for h in (False, True)]
            _shown(f"correlation {shared}, difference {effect} sd", *rates, sweeps)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
