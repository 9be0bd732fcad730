"""Finds the run that another run started from, by the value of a setting: the path of its folder or of a checkpoint in it.

    source_links(runs)      setting, run_id, source_run, checkpoint: a row for each setting of a run that leads to another run
    RememberedLinks().of(runs)      the same, remembered until settings change

A value is a path, and its last parts are compared with the folders of runs: ``./pretrain/a/checkpoint.pth`` leads to the run
whose folder ends in ``pretrain/a``. Up to three parts may stand behind the folder (``checkpoints/epoch_3/model.pt``). A value that
fits the folders of several runs leads nowhere, unless they are records of one training: with the same settings, in one folder.
If only one part agrees, or parts stand behind the folder, the setting must be called like a checkpoint (``init_from``,
``teacher``, ``resume``), or the rest must look like one. Addresses of websites and model hubs lead nowhere.

The work grows with the number of different paths among the values; folders are looked up only where a value holds their name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence

import polars as pl
from msgspec import Struct

from sweeplens.frames.schemas import hparam_columns

__all__ = ["LINKS", "RememberedLinks", "source_links"]

LINKS = {"setting": pl.String(), "run_id": pl.String(), "source_run": pl.String(), "checkpoint": pl.String()}
_BEHIND = 3  # parts of a path behind the folder of the run
_ABOVE = 3  # folders above that of the log which may be the folder of the run
_MOST_RECORDS = 4  # runs in one folder that may be records of one training
_MOST_PARTS = 12
_MANY_PATHS = 1_000
_LONGEST = 1_000  # characters
_STARTS = re.compile(
    r"(^|[._/-])(init|initial|resume[dr]?|restore[dr]?|restart|continue[dr]?|load(ed)?|pre_?train(ed)?|fine_?tuned?|warm_?start|"
    r"teacher|student|source|parent|base|checkpoints?|ckpts?|weights|snapshot|from|backbone|encoder|distill(ed)?|model_(path|dir|file)|"
    r"model_name_or_path)([._/-]|$)"
)
_NAMES_A_RUN = re.compile(
    r"(^|[._/-])(init_from|resume[dr]?|restore[dr]?|load(ed)?|pre_?train(ed)?|fine_?tuned?|warm_?start|teacher|checkpoints?|ckpts?|from)"
    r"([._/-]|$)"
)
_WRITES = re.compile(
    r"(^|[._/-])(out|output|save|saved|log|logs|logging|logger|tb|tensorboard|result|results|work|run|exp|experiment|sweep|job|"
    r"cache|tmp|temp|write|export|hydra|train_log)[_-]?(dir|directory|path|folder|file|root|name|id)?$"
)
_CHECKPOINT = re.compile(
    r"\.(pth?|ckpt|bin|safetensors|h5|hdf5|keras|msgpack|pkl|pickle|npz|tar|orbax|onnx|zip|weights|index|params|eqx)$|"
    r"(^|[_.-])(checkpoints?|ckpts?|weights|snapshots?|models?|states?)([_.\d-]|$)|^(global_)?(step|epoch|iter)[_=-]?\d+|"
    r"^(best|last|latest|final)$"
)
_CONFIG = re.compile(r"\.(ya?ml|json|toml|cfg|ini|py|sh|md|txt|csv|log|jsonl)$")
_ELSEWHERE = re.compile(r"^(https?|hf|ftp|git|ssh|docker|wandb-artifact|models?)(://|:/)")
_GENERAL = re.compile(
    r"^(v|version_?|run_?|fold_?|seed_?|exp_?|trial_?)?\d*$|^(checkpoints?|ckpts?|logs?|outputs?|results?|runs?|models?|weights|"
    r"data(sets?)?|train(ing)?|eval|val|test|tb|tensorboard|events|src|configs?|tmp|home|root|experiments?|wandb|files|best|last|"
    r"latest|final|local|default|base)$"
)


class _RunFolder(Struct, frozen=True):
    """A folder that holds one run, or several records of one: its parts, and the places of these runs in the frame."""

    parts: tuple[str, ...]
    rows: tuple[int, ...]


class _Lead(Struct, frozen=True):
    """The runs that a value leads to, by their places in the frame, and the part of the path behind their folder."""

    rows: tuple[int, ...]
    rest: str


def source_links(runs: pl.DataFrame) -> pl.DataFrame:
    """Returns the links between runs, in the order of the frame. A run that is alone, or leads to itself, has none."""
    values = {name: paths for name in _path_columns(runs) if (paths := _paths(runs, name))}
    folders = _folders(runs, values) if values and runs.height > 1 else []
    if not folders:
        return pl.DataFrame(schema=LINKS)
    index = _by_last_parts(folders)
    found = [_links_of(runs, name, paths, index) for name, paths in values.items()]
    return pl.concat([pl.DataFrame(schema=LINKS), *(f for f in found if f.height)])


class RememberedLinks:
    """Finds links again only where a hyperparameter or a folder of a run changed, not where a run logged more points."""

    def __init__(self) -> None:
        self._looked_at = pl.DataFrame()
        self._links = pl.DataFrame(schema=LINKS)

    def of(self, runs: pl.DataFrame) -> pl.DataFrame:
        """Returns what `source_links` returns."""
        names = [n for n in hparam_columns(runs) if not runs.schema[n].is_temporal()]
        looked_at = runs.select("run_id", "source", *names)
        if looked_at.schema != self._looked_at.schema or not looked_at.equals(self._looked_at):
            self._looked_at, self._links = looked_at, source_links(runs)
        return self._links


def _called_checkpoint(hparam: str) -> bool:
    """Whether a setting is called like one that names a checkpoint or a run to start from."""
    return _STARTS.search(hparam.lower()) is not None


def _path_columns(runs: pl.DataFrame) -> Iterator[str]:
    """Yields hyperparameters that hold text and do not name where a run itself writes."""
    for name in hparam_columns(runs):
        kind = runs.schema[name]
        is_text = isinstance(kind, pl.Categorical | pl.String)
        if is_text and (_called_checkpoint(name) or not _WRITES.search(name.lower())):
            yield name


def _paths(runs: pl.DataFrame, name: str) -> dict[str, tuple[str, ...]]:
    """Returns the different values that may be paths, with their parts; a bare name counts where the setting names a checkpoint.

    Where there are many, those below the run's own folder are left out at once.
    """
    texts = runs[name].unique().drop_nulls().cast(pl.String)
    if len(texts) > _MANY_PATHS:
        own = pl.col("run_id")
        within = pl.col("value").str.contains(own + "/", literal=True) | pl.col("value").str.ends_with(own)
        texts = runs.select(own, value=pl.col(name).cast(pl.String)).filter(within.not_())["value"].unique()
    texts = texts.filter(texts.str.len_chars() <= _LONGEST)
    if not _NAMES_A_RUN.search(name.lower()):
        texts = texts.filter(texts.str.contains(r"[/\\]"))
    parts = {text: _parts(text) for text in texts.to_list() if not _ELSEWHERE.search(text.lower())}
    return {text: own for text, own in parts.items() if own}


def _parts(text: str) -> tuple[str, ...]:
    """Returns the last parts of a path, without ``.`` and ``..``."""
    plain = text.strip().replace("\\", "/").partition("://")
    path = posixpath.normpath(plain[2] or plain[0])
    return tuple(p for p in path.split("/") if p not in ("", ".", ".."))[-_MOST_PARTS:]


def _folders(runs: pl.DataFrame, values: dict[str, dict[str, tuple[str, ...]]]) -> list[_RunFolder]:
    """Returns the folders of runs, and those above with no other run, whose name is a part of a value."""
    named = {part for paths in values.values() for parts in paths.values() for part in parts}
    wanted = pl.Series(list(named), dtype=pl.String)
    path = runs["source"].str.replace_all("\\", "/", literal=True).str.strip_chars_end("/")
    levels: list[pl.DataFrame] = []
    for level in range(_ABOVE + 1):
        leaf = path.str.extract(r"([^/]+)$").str.replace(r"\.(jsonl?|csv|log|txt|out)$", "" if not level else "$0")
        table = pl.DataFrame({"path": path, "row": pl.int_range(runs.height, eager=True)})
        levels.append(table.filter(leaf.is_in(wanted.implode())).with_columns(level=pl.lit(level)))
        path = path.str.replace(r"/[^/]*$", "")
    found = pl.concat(levels).group_by("path", maintain_order=True).agg("row", pl.col("level").min())
    few = found.filter(pl.col("row").list.len() <= _MOST_RECORDS)
    return [
        _RunFolder(tuple(p for p in text.split("/") if p), tuple(rows))
        for text, rows, level in few.iter_rows()
        if len(rows) == 1 or (level == 0 and _are_one_training(runs, rows))
    ]


def _are_one_training(runs: pl.DataFrame, rows: Sequence[int]) -> bool:
    """Whether these runs have the same known settings, as the records of one training by two tools have."""
    names = hparam_columns(runs)
    same = runs[list(rows)].select(names)
    return bool(names) and same.n_unique() == 1 and any(same[n].null_count() == 0 for n in names)


def _by_last_parts(folders: Iterable[_RunFolder]) -> dict[tuple[str, ...], _RunFolder | None]:
    """Returns folders by as many of their last parts as tell them apart; None where more parts are needed."""
    index: dict[tuple[str, ...], _RunFolder | None] = {}
    left = [f for f in folders if f.parts]
    size = 1
    while left:
        same: dict[tuple[str, ...], list[_RunFolder]] = {}
        for folder in left:
            same.setdefault(folder.parts[-size:], []).append(folder)
        index |= {key: own[0] if len(own) == 1 else None for key, own in same.items()}
        left = [f for own in same.values() if len(own) > 1 for f in own if len(f.parts) > size]
        size += 1
    return index


def _links_of(
    runs: pl.DataFrame, name: str, paths: dict[str, tuple[str, ...]], index: dict[tuple[str, ...], _RunFolder | None]
) -> pl.DataFrame:
    """Returns the links by one setting."""
    leads = {text: lead for text, parts in paths.items() if (lead := _lead(parts, name, index))}
    if not leads:
        return pl.DataFrame(schema=LINKS)
    ids = runs["run_id"].to_list()
    main = [lead.rows[0] if len(lead.rows) == 1 else _main_record(runs, lead.rows) for lead in leads.values()]
    rests = [lead.rest for lead in leads.values()]
    table = pl.DataFrame({"value": list(leads), "source_run": [ids[row] for row in main], "checkpoint": rests})
    records = [(value, ids[row]) for value, lead in leads.items() for row in lead.rows]
    itself = pl.DataFrame(records, schema={"value": pl.String, "run_id": pl.String}, orient="row")
    own = runs.select("run_id", setting=pl.lit(name), value=pl.col(name).cast(pl.String))
    linked = own.join(table, on="value", maintain_order="left")
    loops = own.join(itself, on=["value", "run_id"], how="semi")["value"].unique()  # a bare name there names no run
    linked = linked.filter(pl.col("value").is_in(loops.implode()).not_() | pl.col("value").str.contains(r"[/\\]"))
    return linked.join(itself, on=["value", "run_id"], how="anti", maintain_order="left").select(list(LINKS))


def _main_record(runs: pl.DataFrame, rows: Sequence[int]) -> int:
    """Returns the record of a training in the uppermost folder; of several there, that with the most steps."""
    steps, paths = runs["n_steps"], runs["source"]
    return min(rows, key=lambda row: (len(str(paths[row])), -int(steps[row] or 0)))


def _lead(parts: tuple[str, ...], name: str, index: dict[tuple[str, ...], _RunFolder | None]) -> _Lead | None:
    """Returns the run that a path leads to; the folder that is nearest to its end counts."""
    for behind in range(min(_BEHIND, len(parts) - 1) + 1):
        head, rest = parts[: len(parts) - behind], parts[len(parts) - behind :]
        folder = _folder_at(head, index)
        if folder is None:
            continue
        if _is_evident(head, rest, name, 2 if head[-2:] == folder.parts[-2:] and len(head) > 1 else 1):
            return _Lead(folder.rows, "/".join(rest))
    return None


def _folder_at(head: tuple[str, ...], index: dict[tuple[str, ...], _RunFolder | None]) -> _RunFolder | None:
    """Returns the only folder whose last parts are those of a path."""
    for size in range(1, len(head) + 1):
        key = head[-size:]
        if key not in index:
            return None
        if (folder := index[key]) is not None:
            return folder
    return None


def _is_evident(head: Sequence[str], rest: Sequence[str], name: str, agreed: int) -> bool:
    """Whether a path that agrees in so many parts with the folder of a run means a checkpoint of it."""
    if rest and _CONFIG.search(rest[-1].lower()):
        return False
    if agreed == 1 and _GENERAL.search(head[-1].lower()):
        return False
    told = _called_checkpoint(name) or any(_CHECKPOINT.search(part.lower()) for part in rest)
    return told or (agreed > 1 and not rest)
