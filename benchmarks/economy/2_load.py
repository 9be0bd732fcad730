import json, math, os, pathlib
import polars as pl
import yaml

def flat(d, prefix=""):
    out = {}
    for k, v in d.items():
        if isinstance(v, dict):
            out |= flat(v, f"{prefix}{k}.")
        else:
            out[prefix + k] = json.dumps(v) if isinstance(v, list) else v
    return out

runs, rows, bad = [], [], []
for folder in sorted(p for p in pathlib.Path(".").iterdir() if p.is_dir()):
    config = {}
    try:
        if (folder / "config.json").exists():
            config = flat(json.loads((folder / "config.json").read_text()))
        elif (folder / "config.yaml").exists():
            config = flat(yaml.safe_load((folder / "config.yaml").read_text()))
    except (ValueError, yaml.YAMLError) as error:
        print("config", folder, error)
    for number, line in enumerate((folder / "metrics.jsonl").open(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            bad.append((folder.name, number, line[:60]))
            continue
        step = row.pop("step", None)
        rows += [(folder.name, k, step, float(v)) for k, v in row.items() if isinstance(v, (int, float)) and k != "timestamp"]
    runs.append({"run": folder.name, **config})
runs = pl.DataFrame(runs, infer_schema_length=None)
points = pl.DataFrame(rows, schema=["run", "metric", "step", "value"], orient="row")
runs.write_parquet("../runs.parquet")
points.write_parquet("../points.parquet")
print("malformed", bad)
for column in runs.columns[1:]:
    values = runs[column].unique().to_list()
    print(column, len(values), values if len(values) < 10 else "")
print(points.group_by("metric").agg(pl.col("run").n_unique(), pl.len(), pl.col("step").min().alias("from"), pl.col("step").max().alias("to")))
