"""DuckDB over the same JSON lines and configs: one query, no file of its own."""

from pathlib import Path

import duckdb
from common import Answer, Runs, main


def write(runs: Runs, home: Path) -> None:
    """Nothing: the logs are read where they are."""


def answer(home: Path) -> Answer:
    logs = (home / "logs").read_text()
    found = duckdb.sql(f"""
        with last as (
            select parse_dirpath(filename) as run, arg_max("val/acc", step) as value
            from read_json('{logs}/*/metrics.jsonl', format='newline_delimited', filename=true) group by 1),
        config as (select parse_dirpath(filename) as run, optim.lr as lr from read_json('{logs}/*/config.json', filename=true))
        select lr, avg(value), stddev_samp(value) from last join config using (run) group by lr order by lr""").fetchall()
    return {f"{lr:g}": (mean, deviation) for lr, mean, deviation in found}


main(write, answer)
