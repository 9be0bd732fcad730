"""The ten open questions: the calls that answer each with the tools, and the script that an assistant with Polars would write.

``facts`` are what the page of truth says that an answer needs, as regular expressions over what was shown. They were written
with the sweeps.
"""

from __future__ import annotations

import msgspec

__all__ = ["QUESTIONS", "OpenQuestion"]

LOAD = """
import json, pathlib, polars as pl
rows, configs = [], {}
for folder in pathlib.Path(".").iterdir():
    config = json.loads((folder / "config.json").read_text())
    configs[folder.name] = {**{k: v for k, v in config.items() if not isinstance(v, dict)},
                            **{f"{k}.{a}": b for k, v in config.items() if isinstance(v, dict) for a, b in v.items()}}
    rows += [{"run": folder.name, **json.loads(line)} for line in (folder / "metrics.jsonl").read_text().splitlines()]
points = pl.DataFrame(rows).sort("run", "step")
config = pl.DataFrame([{"run": k, **v} for k, v in configs.items()])
pl.Config.set_tbl_rows(60); pl.Config.set_tbl_cols(20); pl.Config.set_tbl_width_chars(180)
last = points.group_by("run").tail(6).group_by("run").agg(pl.exclude("step", "_timestamp").mean()).join(config, on="run")
"""


class OpenQuestion(msgspec.Struct, frozen=True):
    """One question of a sweep. ``calls``: tool and its arguments; ``script``: goes on after `LOAD`; ``facts``: name -> pattern."""

    text: str
    sweep: str
    calls: tuple[tuple[str, ...], ...]
    script: str
    facts: dict[str, str]


QUESTIONS = (
    OpenQuestion(
        "Which setting would you ship, and how sure are you?",
        "vision",
        (("overview",),),
        'print(last.group_by("augment", "optim.lr", "model.ema").agg(pl.col("val/acc").mean(), sd=pl.col("val/acc").std(), '
        'test=pl.col("test/acc").mean(), n=pl.len()).sort("val/acc", descending=True))',
        {
            "cutmix at 0.03 leads without the leaked run": r"without outlier mixup_lr0\.1_ema_s1.*cutmix, optim\.lr=0\.03",
            "test accuracy has cutmix first": r"cutmix.*0\.03",
            "EMA changes nothing": r"model\.ema.*(equal|same)",
        },
    ),
    OpenQuestion(
        "Are mixup and cutmix worth keeping, compared with no augmentation?",
        "vision",
        (("compare_runs", "hparam=augment", 'metrics=["test/acc"]'),),
        'print(last.group_by("augment", "optim.lr").agg(pl.col("test/acc").mean(), sd=pl.col("test/acc").std()).sort("optim.lr"))\n'
        'print(last.group_by("augment").agg(pl.col("test/acc").mean(), pl.col("test/acc").std().alias("sd"), n=pl.len()))',
        {
            "cutmix gains 0.07 on test": r"0\.070|0\.07\d",
            "an interval": r"\[0\.0\d+, 0\.0\d+\]",
            "within each learning rate": r"optim\.lr=0\.03|0\.03 +",
        },
    ),
    OpenQuestion(
        "Does EMA help?",
        "vision",
        (("compare_runs", "hparam=model.ema"), ("diagnose_runs", 'runs=["cutmix_lr0.03*"]')),
        'print(last.group_by("model.ema").agg(pl.col("val/acc").mean(), sd=pl.col("val/acc").std(), n=pl.len()))\n'
        'wide = last.pivot(on="model.ema", index=["augment", "optim.lr", "seed"], values="val/acc")\nprint(wide.sort("augment"))',
        {
            "the curves are the same": r"equal to the last digit|same curves|hold the same",
            "so it was never applied": r"not_applied|never applied",
        },
    ),
    OpenQuestion(
        "Which result do you not believe?",
        "vision",
        (("overview",), ("best_checkpoints", "where=\"optim.lr\" = 0.1 AND augment = 'mixup'")),
        'print(last.select("run", "val/acc", "test/acc", gap=pl.col("val/acc") - pl.col("test/acc")).sort("gap", descending=True)'
        ".head(8))\n"
        'print(points.group_by("run").agg(peak=pl.col("step").get(pl.col("lr").arg_max())).join(config, on="run")'
        '.group_by("peak", "optim.warmup_steps").len())',
        {
            "the leaked run": r"mixup_lr0\.1_ema_s1",
            "its validation and test disagree": r"0\.97\d*|0\.98\d*",
            "the warm-up is 100, not 500": r"100.*500|500.*100",
        },
    ),
    OpenQuestion(
        "What did the gain cost, and does it hold at equal time?",
        "vision",
        (("run_costs", "metric=test/acc"),),
        'time = points.group_by("run").agg(s=pl.col("_timestamp").max() - pl.col("_timestamp").min(), n=pl.col("step").max())\n'
        'print(last.join(time, on="run").group_by("augment", "optim.lr").agg(pl.col("test/acc").mean(), pl.col("s").mean())'
        '.sort("s"))\nprint(last.join(time, on="run").group_by("host").agg(pl.col("s").mean()))',
        {
            "cutmix takes 1.5 times as long": r"5[,]?850|5850",
            "gpu07 is slow": r"gpu07",
            "equal wall time is answered": r"[Ee]qual wall time",
            "GPU-hours": r"GPU-hours|gpu_hours",
        },
    ),
    OpenQuestion(
        "Which checkpoint should be kept, and could we have stopped earlier?",
        "vision",
        (("best_checkpoints", "metric=val/acc", 'where="optim.lr" = 0.03', "limit=12"),),
        'best = points.group_by("run").agg(at=pl.col("step").get(pl.col("val/acc").arg_max()), best=pl.col("val/acc").max(), '
        'last=pl.col("val/acc").last(), test=pl.col("test/acc").get(pl.col("val/acc").arg_max()), own=pl.col("test/acc").max())\n'
        'print(best.join(config, on="run").group_by("augment").agg(pl.col("at", "best", "last", "test", "own").mean()))',
        {
            "runs without augmentation lose after their best": r"none_lr0\.03\w+ 0\.\d+ at \d+ but|none.*0\.7",
            "steps saved": r"saved \d+% of all steps",
            "the test's own best is too good": r"own best|own",
        },
    ),
    OpenQuestion(
        "Which algorithm is best?",
        "control",
        (("rank_runs", "metric=eval/return"),),
        'print(last.group_by("env", "algo").agg(pl.col("eval/return").mean(), sd=pl.col("eval/return").std(), n=pl.len(), '
        'low=pl.col("eval/return").min()).sort("env", "eval/return", descending=[False, True]))',
        {
            "within each environment": r"ant[\s\S]*sac[\s\S]*hopper[\s\S]*td3",
            "over all, with an interval": r"interquartile mean",
            "one run of td3 broke": r"walker_td3_3",
        },
    ),
    OpenQuestion(
        "Is sac better than ppo if we pay by the hour?",
        "control",
        (("run_costs", "metric=eval/return", "where=algo <> 'td3'"),),
        'time = points.with_columns(s=pl.col("_timestamp") - pl.col("_timestamp").min().over("run"))\n'
        'print(time.filter(pl.col("s") <= 200).group_by("run").tail(6).group_by("run").agg(pl.col("eval/return").mean())'
        '.join(config, on="run").group_by("env", "algo").agg(pl.col("eval/return").mean()).sort("env", "algo"))',
        {
            "sac takes 4.5 times as long": r"900",
            "ppo leads at equal time": r"ppo leads|ppo",
            "for each environment": r"ant[\s\S]*door[\s\S]*hopper[\s\S]*walker",
        },
    ),
    OpenQuestion(
        "What went wrong, in which runs?",
        "control",
        (("diagnose_runs",),),
        'print(points.group_by("run").agg(pl.col("step").max(), pl.col("eval/return").max(), '
        'end=pl.col("eval/return").tail(5).mean(), s=pl.col("eval/success_rate").max(), '
        's_end=pl.col("eval/success_rate").tail(5).mean()).with_columns(lost=1 - pl.col("end") / pl.col("eval/return"), '
        's_lost=1 - pl.col("s_end") / pl.col("s")).sort("lost", descending=True))',
        {
            "walker_td3_3 collapses at 640,000": r"walker_td3_3.*640000",
            "two runs stop early": r"ant_ppo_1[\s\S]*ant_ppo_3",
            "success falls on door with ppo": r"door_ppo_0.*success",
        },
    ),
    OpenQuestion(
        "Write the two sentences for the paper on door.",
        "control",
        (("overview",), ("rank_runs", "metric=eval/success_rate", "where=env = 'door'")),
        'print(last.filter(pl.col("env") == "door").group_by("algo").agg(pl.col("eval/return", "eval/success_rate").mean(), '
        'sd=pl.col("eval/return").std(), n=pl.len()))',
        {
            "return and success disagree": r"metrics disagree.*door",
            "sac leads in success": r"sac",
            "a test": r"significantly|p_adjusted",
        },
    ),
)
