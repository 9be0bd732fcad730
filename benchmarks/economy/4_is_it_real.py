import math

import polars as pl
from scipy import stats

runs, points = pl.read_parquet("../runs.parquet"), pl.read_parquet("../points.parquet")
best = points.filter((pl.col("metric") == "val/acc") & pl.col("value").is_finite()).group_by("run").agg(pl.col("value").max().alias("best"), pl.col("value").last().alias("last"))
table = runs.join(best, on="run")

def side(lr, column="best"):
    return table.filter(pl.col("optim.lr") == lr)[column].to_list()

def describe(values):
    n = len(values)
    mean = sum(values) / n
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = stats.t.ppf(0.975, n - 1) * std / math.sqrt(n)
    return f"n={n} mean={mean:.5f} std={std:.5f} ci=({mean - half:.5f}, {mean + half:.5f})"

top = 0.03
rates = [lr for lr in table["optim.lr"].drop_nulls().unique().sort().to_list() if lr != top]
print(top, describe(side(top)))
pvalues = []
for lr in rates:
    a, b = side(top), side(lr)
    welch = stats.ttest_ind(a, b, equal_var=False)
    rank = stats.mannwhitneyu(a, b)
    pooled = math.sqrt((stats.tvar(a) * (len(a) - 1) + stats.tvar(b) * (len(b) - 1)) / (len(a) + len(b) - 2))
    g = (sum(a) / len(a) - sum(b) / len(b)) / pooled * (1 - 3 / (4 * (len(a) + len(b)) - 9))
    interval = welch.confidence_interval()
    pvalues.append((welch.pvalue, lr))
    print(lr, describe(b), f"p_welch={welch.pvalue:.3g} p_mw={rank.pvalue:.3g} g={g:.2f} diff=({interval.low:.5f}, {interval.high:.5f})")
for position, (p, lr) in enumerate(sorted(pvalues)):
    print("holm", lr, min(1, p * (len(pvalues) - position)))
for size in (64, 128):
    values = table.filter((pl.col("data.batch_size") == size) & (pl.col("optim.lr") < 0.3))["best"].to_list()
    print("batch", size, describe(values))
