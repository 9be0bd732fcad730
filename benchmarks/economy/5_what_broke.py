import polars as pl

runs, points = pl.read_parquet("../runs.parquet"), pl.read_parquet("../points.parquet")
pl.Config.set_tbl_rows(80)
pl.Config.set_fmt_str_lengths(60)
bad = points.filter(pl.col("value").is_finite().not_())
print(bad.group_by("run", "metric").agg(pl.col("step").min().alias("first_bad"), pl.len()).sort("run", "first_bad"))
ends = points.group_by("run").agg(pl.col("step").max().alias("end"))
print(ends.filter(pl.col("end") < ends["end"].max()).sort("end"))
steps = points.filter(pl.col("metric") == "train/loss").with_columns(pl.col("step").diff().over("run").alias("diff"))
print("rewinds", steps.filter(pl.col("diff") <= 0).select("run", "step", "diff"))
loss = points.filter(pl.col("metric") == "val/loss", pl.col("value").is_finite()).sort("run", "step")
over = loss.group_by("run", maintain_order=True).agg(pl.col("value").min().alias("low"), pl.col("step").get(pl.col("value").arg_min()).alias("at"), pl.col("value").last().alias("last"))
print(over.with_columns((pl.col("last") / pl.col("low") - 1).alias("rise")).filter(pl.col("rise") > 0.1).sort("rise", descending=True))
for run in bad["run"].unique().sort().to_list():
    first = bad.filter((pl.col("run") == run) & (pl.col("metric") == "train/loss"))["step"].min()
    print(run, points.filter((pl.col("run") == run) & (pl.col("metric").is_in(["train/loss", "grad_norm"])) & pl.col("step").is_between(first - 50, first)).select("metric", "step", "value"))
affected = bad["run"].unique().to_list()
for column in ("optim.lr", "optim.weight_decay", "data.batch_size", "seed"):
    print(runs.with_columns(pl.col("run").is_in(affected).alias("bad")).group_by(column).agg(pl.col("bad").sum(), pl.len()).sort(column))
