"""Settings that stand in the names of runs and folders (``lr0.1_bs32_seed1``, ``ppo/HopperEnv-v0_1``, ``key=value,key=value``).

`with_path_settings` adds them as hyperparameters ``path.lr``, ``path.seed`` to runs that nothing else tells apart: those of which
no hyperparameter is known, and those with exactly the same as another run's. A part of a name counts where it is regular:
the same key in two runs at least, with different values. What else is in the name becomes ``path.name``, so that runs that
are called differently are never taken for repetitions. Times, and counters of runs (``run3``, ``version_0``), say nothing.
The work grows with the number of these runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from sweeplens.frames.schemas import hparam_columns

__all__ = ["PATH", "settings_in_name", "with_path_settings"]

PATH = "path."
"""How the hyperparameters that were read from names begin."""
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_ASSIGNED = re.compile(r"([A-Za-z][\w.]*?)=([^,;=]*?)(?=$|[,;]|[_\- ]+[A-Za-z][\w.]*=)")
_SPLIT = re.compile(r"[_,;\s+()\[\]]+|(?<!\d[eE])-")
_TOKEN = re.compile(rf"([A-Za-z]+(?:\.[A-Za-z]+)*)({_NUMBER}|\d+p\d+)")
_VALUE = re.compile(rf"{_NUMBER}|\d+p\d+|[Tt]rue|[Ff]alse|None")
_ENVIRONMENT = re.compile(r"([A-Z][A-Za-z0-9]*(?:[-_/]?[A-Z][A-Za-z0-9]*)*-v\d+)")
_CLEANRL = re.compile(r"(.+?)__(.+?)__(\d+)__\d{9,}")
_TIME = re.compile(
    r"(?<![\d.])(?:(?:19|20)\d\d[-_]?[01]\d[-_]?[0-3]\d|[A-Z][a-z]{2}[0-3]\d)(?:[-_T ]+[0-2]\d[-:_]?[0-5]\d[-:_]?[0-5]\d)?(?![\d.])"
    r"|(?<![\d.])\d{9,}(?![\d.])"
)
_SUFFIX = re.compile(r"\.(?:jsonl?|ndjson|csv|tsv|txt|log|out|dat|db)(?:\.(?:gz|zst))?$")
_WORDS = {
    "weight decay": "weight_decay", "batch size": "batch_size", "learning rate": "learning_rate", "hidden size": "hidden_size",
    "hidden dim": "hidden_dim", "random seed": "seed", "num layers": "num_layers", "n layers": "n_layers",
    "label smoothing": "label_smoothing", "warmup steps": "warmup_steps", "grad clip": "grad_clip",
}  # fmt: skip
_ALIASES = {"s": "seed", "sd": "seed", "rs": "seed", "learningrate": "learning_rate", "batchsize": "batch_size"}
_COUNTERS = frozenset(
    "run runs exp exps experiment version ver v trial job task try attempt id no nr log logs out output part checkpoint ckpt "
    "rank worker step epoch events tfevents".split()
)
_SETTINGS = frozenset(
    "seed fold rep replicate replica repeat bs batch batch_size wd lr dim d rank size width depth layers heads hidden units k "
    "epochs steps dropout beta gamma alpha lambda tau temp temperature warmup horizon nlayers env".split()
)
_ALGORITHMS = frozenset(
    "ppo ppo2 a2c a3c sac td3 dqn ddqn ddpg trpo tqc qrdqn ars her crossq reinforce impala rainbow c51 iqn cql iql bc awac td7 "
    "redq droq dreamer dreamerv2 dreamerv3 muzero ppolstm recurrentppo maskableppo vpg mappo qmix".split()
)
_FEWEST = 2
_UNLOGGED = "unlogged"  # the reader of folders without metrics


def with_path_settings(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs frame with what names say, as columns before the metadata; the same frame where they say nothing."""
    alike = _not_told_apart(runs)
    if len(alike) < _FEWEST:
        return runs
    columns = _regular({run: settings_in_name(run) for run in alike})
    for name in [n for n in columns if _is_told(runs, n, columns[n])]:
        del columns[name]
    if not columns:
        return runs
    ids = runs["run_id"].to_list()
    added = [_column(name, [values.get(run) for run in ids]) for name, values in columns.items()]
    metadata = [c for c in runs.columns if c.startswith("metadata.")]
    return runs.with_columns(added).select(pl.exclude(metadata), *metadata)


def settings_in_name(path: str) -> dict[str, str]:
    """What one path says: key -> value as it is written, and ``name`` for the words that are no setting."""
    found: dict[str, str] = {}
    rest: list[str] = []
    for part in path.partition("@")[0].split("/"):
        rest += _of_part(_SUFFIX.sub("", part), found)
    if len(found) == 1 and (key := next(iter(found))).lower() not in _SETTINGS and found[key].isdigit():
        found, rest = (
            {},
            [*rest, key],
        )  # a word with a number behind it counts runs (``model2``), unless it is a setting
    return {**found, "name": " ".join(rest)}


def _of_part(part: str, found: dict[str, str]) -> Iterator[str]:
    """Add the settings of one folder's name; the words that are left."""
    whole = _CLEANRL.fullmatch(part)
    if whole:
        found |= {"env": whole[1], "algo": whole[2], "seed": whole[3]}
        return
    for key, value in _ASSIGNED.findall(part):
        found.setdefault(key.strip("_"), value.strip("_- "))
    part = _ASSIGNED.sub(" ", part)
    part = _TIME.sub(" ", part)
    environment = _ENVIRONMENT.search(part)
    if environment:
        found.setdefault("env", environment[1])
        before, after = part[: environment.start()], part[environment.end() :]
        number = re.fullmatch(r"_(\d{1,4})", after)
        if number:  # the zoos of Stable-Baselines count the runs of one environment
            found.setdefault("run", number[1])
            after = ""
        part = f"{before} {after}"
    yield from _of_words([w for w in _SPLIT.split(part) if w], found)


def _of_words(words: Sequence[str], found: dict[str, str]) -> Iterator[str]:
    """Settings among the words of a name: ``lr0.1``, or ``lr`` and then ``0.1``."""
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        token = _TOKEN.fullmatch(word)
        pair = _WORDS.get(f"{word} {following}".lower(), "")
        if pair and at + 2 < len(words) and _VALUE.fullmatch(words[at + 2]):
            found.setdefault(pair, words[at + 2])
            at += 3
            continue
        if token:
            _keep(token[1], token[2], found)
        elif word.isalpha() and _VALUE.fullmatch(following):
            _keep(word, following, found)
            at += 1
        elif word.lower() in _ALGORITHMS:
            found.setdefault("algo", word)
        elif word.lower() not in _COUNTERS:
            yield word
        at += 1


def _keep(key: str, value: str, found: dict[str, str]) -> None:
    key = _ALIASES.get(key.lower(), key)
    if key.lower() not in _COUNTERS:
        found.setdefault(key, value)


def _hparams(runs: pl.DataFrame) -> list[str]:
    return [c for c in hparam_columns(runs) if c not in ("touched_at", "grew_at")]


def _not_told_apart(runs: pl.DataFrame) -> list[str]:
    """The runs with no hyperparameters, or with the same as a run of another name.

    Runs with the same hyperparameters and the same last part of their name are copies of one folder, not other settings. A
    folder without metrics and settings has settings in its name only where those of runs with metrics are there too.
    """
    names = _hparams(runs)
    if not names:
        return runs["run_id"].to_list()
    own = runs.select(pl.struct(*names, "null_hparams").hash().alias("own"))["own"]
    silent = pl.DataFrame([runs[n] for n in names]).select(pl.all_horizontal(pl.all().is_null())).to_series()
    bare = silent & (runs["null_hparams"].list.len() == 0)
    empty = runs["format"] == _UNLOGGED
    if not (bare & ~empty).any():
        bare &= ~empty
    known = runs.select("run_id", own, leaf=pl.col("run_id").str.replace(r"^.*/", ""), bare=bare)
    alike = pl.col("leaf").n_unique().over("own") > 1
    return known.filter(alike | pl.col("bare"))["run_id"].to_list()


def _is_told(runs: pl.DataFrame, column: str, values: Mapping[str, object]) -> bool:
    """Whether a hyperparameter of the same name says the same of all these runs."""
    key = column.removeprefix(PATH).lower()
    mine = runs.filter(pl.col("run_id").is_in(list(values)))
    said = [str(values[run]) for run in mine["run_id"]]
    twins = [n for n in _hparams(runs) if n.rpartition(".")[2].lower() == key]
    return any([str(v) for v in mine[n].to_list()] == said for n in twins)


def _regular(found: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, object]]:
    """Column -> run -> value, of the keys that several runs have with different values."""
    keys = dict.fromkeys(k for values in found.values() for k in values if k != "name")
    columns: dict[str, dict[str, object]] = {}
    for key in keys:
        values = {run: said[key] for run, said in found.items() if key in said}
        varies = len(set(values.values())) > 1
        if len(values) >= _FEWEST and varies:
            columns[PATH + key] = {run: _plain(value) for run, value in values.items()}
    runs = dict.fromkeys(run for values in columns.values() for run in values)
    names = {run: found[run]["name"] for run in runs}
    if len(set(names.values())) > 1:
        columns[PATH + "name"] = dict(names)
    return columns


def _plain(text: str) -> object:
    """A number or truth value that is written in a name; other text as it is."""
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if re.fullmatch(r"\d+p\d+", text):
        return float(text.replace("p", "."))
    if re.fullmatch(r"[-+]?\d{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(_NUMBER, text) else text


def _column(name: str, values: Sequence[object]) -> pl.Series:
    """The values as the narrowest type that holds them all."""
    kinds = {type(v) for v in values if v is not None}
    if kinds in ({bool}, {int}):
        return pl.Series(name, values, dtype=pl.Boolean if kinds == {bool} else pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String).cast(pl.Categorical)
