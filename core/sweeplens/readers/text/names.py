"""Known words of text logs: axes, splits, measures, costs and units."""

from __future__ import annotations

import re

__all__ = [
    "COST",
    "EPOCHS",
    "IDLE",
    "INNER_RANK",
    "MEASURE",
    "NEVER",
    "SPLITS",
    "UNIT",
    "fine_rank",
    "scale_of",
    "split_of_word",
]

EPOCHS = frozenset({"epoch", "epoch num", "epoch_num", "epoch id", "e", "ep", "epoch number", "epoche", "epoca"})
_FINE = (
    ("num_updates", "global_step", "global step", "globalstep", "total_timesteps", "total timesteps", "num_timesteps",
     "totalenvinteracts", "totalenvsteps", "total_env_steps", "timesteps", "total_steps_done", "trainer/global_step", "env_steps"),
    ("step", "steps", "iter", "iters", "iteration", "iterations", "itr", "train_step", "training_step", "current_steps",
     "current_step", "current step", "train step", "training step", "n_iter", "timestep", "time step", "update", "updates",
     "training_iteration", "training iteration", "train_iter", "#", "optimizer step", "step_num", "up", "upd", "num_update"),
    ("episode", "episodes", "round", "generation", "game", "trial_step"),
    ("batch", "batch_id", "batch id", "batch_idx", "batch idx", "minibatch", "mini-batch", "i", "it"),
)  # fmt: skip
_FINE_RANK = {word: rank for rank, words in enumerate(_FINE) for word in words}
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "validating": "val",
    "validate": "val", "test": "test", "testing": "test", "eval": "eval", "evaluation": "eval", "evaluating": "eval",
    "dev": "dev", "cv": "cv",
}  # fmt: skip
MEASURE = re.compile(
    r"(?i)loss|acc(?:uracy|$|[^a-z])|prec|recall|\bf1|f-?score|bleu|rouge|\bwer\b|\bcer\b|perplexity|\bppl\b|\bmae\b|\bmse\b|rmse"
    r"|\bauc|auroc|\bmap\b|mAP|\biou|miou|dice|reward|return|entropy|\bkl\b|\blr\b|learning.?rate|grad.?norm|gnorm|psnr|ssim|\bfid\b"
    r"|\br2\b|score|error|\bbpb\b|\bbpc\b|elbo|nll|objective|top-?[15]\b|prec@|acc@|hit@|hits@|\bmrr\b|ndcg|success|corr|fitness"
    r"|^(?:d|g)_[a-z]+|cycle_|idt_|\bxent\b|\bep(?:isode)?[_ ](?:rew|len)|advantage|explained_variance|\bvalue\b"
)
"""Names of measures of a training."""
COST = re.compile(
    r"(?i)time|eta\b|^data$|sec|\bms\b|duration|elapsed|memory|\bmem\b|gpu|cpu|\bram\b|speed|fps|throughput|/s\b|per_?sec|latency"
    r"|bytes|size|\bips\b|\bwps\b|\bups\b|tokens?\b|samples|examples|workers|\bmfu\b|wall|\bpid\b|port|lineno|line\b|rank|seed|version"
)
"""Names of costs and counts. Values with only such names do not make a text a training log."""
NEVER = frozenset(
    {
        "eta",
        "pid",
        "lineno",
        "line",
        "rank",
        "node",
        "gpu",
        "device",
        "cuda",
        "seed",
        "world_size",
        "version",
        "time_ms",
        "timestamp",
        "v_num",
        "local_rank",
        "global_rank",
    }
)
UNIT = re.compile(
    r"^\s?(?:%|\)|None\b|(?:[kKMGBT]i?B?|B)\b(?!\s*[:=])|(?:images?|imgs?|samples?|tokens?|tok|ins|items?|it|iters?|steps?|sec|secs|seconds?|s|ms|us|min|mins"
    r"|minutes?|hours?|hrs?|h|d|days?|MB|GB|MiB|GiB|st|nd|rd|th|x)\b(?:/\w+)?(?!\s*[:=\w/])|/(?:s|sec|step|iter|it|batch)\b)"
)
_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_MEMORY = re.compile(r"(?i)mem|gpu|ram|size")


IDLE = frozenset(
    "and to from of in at for with by is was than the a an on vs x after before over saved saving save improved every"
    " best_epoch".split()
)
"""Words that a metric's name never begins or ends with."""
INNER_RANK = 3  # a count of this rank or higher restarts in each epoch


def fine_rank(word: str) -> int | None:
    """Returns how certainly a name counts steps (0 is the most certain); None for other names."""
    return _FINE_RANK.get(word)


def split_of_word(word: str) -> str:
    """Returns the split of a word: ``Validation`` -> ``val``; "" for any other word."""
    return SPLITS.get(word.lower().strip("[]():"), "")


def scale_of(name: str, after: str) -> float:
    """Returns the factor for the letter after a number (``1.2k``); 1 for memory sizes, which stay as printed."""
    letter = after[:1]
    if letter in _SCALES and not after[1:2].isalnum() and not _MEMORY.search(name):
        return _SCALES[letter]
    return 1.0
