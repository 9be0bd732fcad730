import pathlib
import re
import time

import polars as pl

yesterday = time.time() - 86400
points = pl.read_parquet("../points.parquet")
changed = []
for folder in sorted(p for p in pathlib.Path(".").iterdir() if p.is_dir()):
    stat = (folder / "metrics.jsonl").stat()
    text = (folder / "metrics.jsonl").read_text(errors="replace")
    begun = float(re.search(r'"timestamp": ([0-9.]+)', text).group(1))
    if stat.st_mtime > yesterday:
        changed.append((folder.name, time.strftime("%H:%M", time.localtime(stat.st_mtime)), begun > yesterday, '"finished"' in text or '"run_end"' in text, text.count("\n")))
print(pl.DataFrame(changed, schema=["run", "changed", "began", "finished", "lines"], orient="row").group_by("began", "finished").len())
for row in changed:
    if not row[3]:
        print("not finished", row)
best = points.filter(pl.col("metric") == "val/acc", pl.col("value").is_finite()).sort("value", descending=True).head(3)
print(best)
