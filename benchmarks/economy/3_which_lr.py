import polars as pl

runs, points = pl.read_parquet("../runs.parquet"), pl.read_parquet("../points.parquet")
last = points.filter(pl.col("metric") == "val/acc").sort("step").group_by("run", maintain_order=True).agg(pl.col("value").last(), pl.col("value").max().alias("best"), pl.col("step").last())
table = runs.join(last, on="run")
pl.Config.set_tbl_rows(50)
pl.Config.set_tbl_cols(20)
for keys in (["optim.lr"], ["optim.lr", "data.batch_size"]):
    print(table.group_by(keys).agg(pl.len().alias("n"), pl.col("value").mean().alias("mean_last"), pl.col("value").std().alias("std_last"), pl.col("best").mean().alias("mean_best"), pl.col("best").std().alias("std_best")).sort("mean_best", descending=True))
print(table.sort("best", descending=True).select("run", "optim.lr", "data.batch_size", "optim.weight_decay", "seed", "value", "best", "step").head(10))
print(table.select("optim.lr", "optim.weight_decay").unique().sort("optim.lr"))
