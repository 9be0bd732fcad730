"""Finds and reads the configuration files of a log.

They are searched in this order, and the first file that has a key wins:

    beside    files in the log's folder with a common name (`SETTINGS_NAMES`), and files of a folder ``params/`` in it
    above     if there are none beside the log: the same in the nearest of the two folders above. All runs below share them.
              A folder with source code is a project and its configuration a template, so it is not used
    saved     with a fine-tuned model: its adapter's settings, and the training arguments in its newest checkpoint
              (`adapter_settings`)
    Hydra     the nearest ``.hydra/`` above, with its overrides (``.hydra/overrides.yaml``) and the sweep
              (the folder with ``multirun.yaml``)

A common name is not enough: a log, a data set or the description of a model is not a configuration (`looks_like_settings`).
Files are parsed as data only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import cast

from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.boundary import Failure, guarded
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.adapter_settings import ADAPTER, saved_settings, settings_of_adapter
from sweeplens.readers.decoding.settings_text import looks_like_settings, parse_settings
from sweeplens.readers.decoding.wrapped_config import is_wrapped, unwrapped
from sweeplens.readers.protocol import FileStat, Folder, RunRecord, Source

__all__ = ["CONFIG_NAMES", "SETTINGS_NAMES", "Sidecar", "config_files", "in_hydra", "read_config"]

CONFIG_NAMES = (
    "config.json", "config.yaml", "config.yml", "hparams.json", "hparams.yaml", "hparams.yml", "params.json", "params.yaml",
    "params.yml", "hyperparameters.json", "hyperparameters.yaml", "args.json", "args.yaml", "run.json",
)  # fmt: skip
"""Names that are accepted without a look at the content, so that a damaged file becomes a problem."""
_STEMS = (
    "config", "hparams", "params", "hyperparameters", "args", "cfg", "conf", "opt", "options", "hyp", "variant", "flags",
    "settings", "configuration", "train_config", "training_config", "run_config", "exp_config", "experiment_config",
    "parameters", "hyperparams", "hyper_params", "hyper_parameters", "arguments", "opts", "train_opt", "train_args",
    "training_args", "train_params", "trainer_config", "finetune_config", "cmd_args", "cli_args",
)  # fmt: skip
_SUFFIXES = (".json", ".yaml", ".yml", ".toml", ".txt")
SETTINGS_NAMES = dict.fromkeys(
    (*CONFIG_NAMES, *(f"{stem.replace('_', mark)}{suffix}" for suffix in _SUFFIXES for stem in _STEMS for mark in "_-"))
)
"""All common names; earlier ones win."""
_BELOW = ("params", "hparams", "hyperparameters", "settings", "config", "args")
_MOST_BELOW = 8  # files in such a folder; a folder with more holds templates
_UP = 2  # folders above in which settings are searched
_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "environment.yml", "train.py", "main.py")
_MODEL = ("architectures", "model_type", "transformers_version")
_WRAPPERS = ("config", "hyperparameters", "hparams", "params", "args")
_ABOUT_RUN = ("status", "state", "run_id", "id", "name", "tags", "group", "started", "created_at", "start_time", "end_time",
              "finished_at", "metadata", "version", "host", "user", "notes", "project", "exit_code")  # fmt: skip
_HYDRA, _OVERRIDES, _HYDRA_OWN = ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml"
_GUILD, _GUILD_OWN = ".guild/attrs/flags", "attrs/flags"
_SWEEP = "multirun.yaml"


class Sidecar:
    """The content of the configuration files: nested hyperparameters, and facts about the run."""

    def __init__(self) -> None:
        self.hyperparameters: dict[str, object] = {}
        self.about: dict[str, object] = {}
        self.problems: list[tuple[str, str]] = []


def config_files(folder: Folder) -> tuple[str, ...]:
    """Returns the settings files of logs in this folder, relative to it; ``../`` leads to folders above."""
    own = _settings_of(folder, folder, "")
    hydra = _hydra(folder)
    found = own or (() if hydra else _above(folder))
    return (*found, *saved_settings(folder, found), *hydra)


def _settings_of(folder: Folder, of: Folder, up: str) -> tuple[str, ...]:
    """Returns the settings files of one folder, which is ``up`` from the folder ``of``, relative to ``of``."""
    named = [n for n in folder.files.keys() & SETTINGS_NAMES.keys() if n in CONFIG_NAMES or _is_settings(of, up + n)]
    beside = [up + n for n in sorted(named, key=list(SETTINGS_NAMES).index)] if named else []
    flags = _GUILD if ".guild" in folder.folders else _GUILD_OWN if folder.name == ".guild" else ""
    guild = [up + flags] if flags and of.find(up + flags) else []
    return (*beside, *guild, *(n for below in _BELOW if below in folder.folders for n in _below(of, up + below)))


def _below(of: Folder, path: str) -> list[str]:
    """Returns the settings files in a folder named ``params`` or alike."""
    folder = of.child(path)
    if folder is None or folder.folders or len(folder.files) > _MOST_BELOW:
        return []
    return [
        f"{path}/{n}" for n in sorted(folder.files) if n.endswith(_SUFFIXES[:-1]) and _is_settings(of, f"{path}/{n}")
    ]


def _is_settings(of: Folder, path: str) -> bool:
    return looks_like_settings(path, of.head(path))


def _above(folder: Folder) -> tuple[str, ...]:
    """Returns the settings files of the nearest folder above that has some."""
    up = ""
    for _ in range(_UP):
        up += "../"
        here = folder.child(up.rstrip("/"))
        if here is None or any(n in here.files for n in _PROJECT):
            return ()
        found = _settings_of(here, folder, up)
        if found:
            return found
    return ()


def _hydra(folder: Folder) -> tuple[str, ...]:
    """Returns the Hydra files of the run that a folder belongs to."""
    up, here = "", folder
    while here is not None:
        if here.find(_HYDRA):
            rest = (f"{up}{n}" for n in (_OVERRIDES, _HYDRA_OWN) if here.find(n))
            return (f"{up}{_HYDRA}", *rest, *_sweep_above(here, up))
        up, here = f"../{up}", here.parent
    return ()


def _sweep_above(run: Folder, up: str) -> tuple[str, ...]:
    """Returns the ``multirun.yaml`` of a Hydra job's sweep, which is in a folder above the job's."""
    here = run.parent
    while here is not None:
        up = f"../{up}"
        if _SWEEP in here.files:
            return (f"{up}{_SWEEP}",)
        here = here.parent
    return ()


def in_hydra(source: Source, record: RunRecord) -> RunRecord:
    """Adds ``metadata.overrides`` and the sweep's folder as group to the record of a Hydra run."""
    about, group = dict(record.metadata), record.group
    for entry in source.files:
        path = entry.path.replace("\\", "/")
        if path.endswith(f"/{_OVERRIDES}"):
            about.setdefault("overrides", _overrides(entry))
        elif path.endswith(f"/{_SWEEP}"):
            folder = path[: -len(_SWEEP) - 1]
            group = group or folder[len(source.root) :].strip("/") or folder.rpartition("/")[2]
    return replace(record, metadata=about, group=group)


def _overrides(entry: FileStat) -> list[str]:
    """Returns the overrides of the command line as text; [] if unreadable, since the config holds their values too."""
    try:
        found = _load(entry)
    except (OSError, ValueError, RecursionError, FormatError):
        return []
    return [str(item) for item in cast("list[object]", found)] if isinstance(found, list) else []


def read_config(files: Iterable[FileStat], *, names: Collection[str] = (), unwrap: bool = True) -> Sidecar:
    """Reads the settings files among a source's files; the first file that has a key wins. An unreadable file is a problem.

    ``names``: only files with these names. ``unwrap=False``: the file holds only hyperparameters, whatever their names.
    """
    side = Sidecar()
    for entry in files:
        path = entry.path.replace("\\", "/")
        name = path.rsplit("/", 1)[-1]
        below = not names and _is_in_settings_folder(path)
        if name not in (names or SETTINGS_NAMES) and not below and (names or name != ADAPTER):
            continue
        loaded = guarded(partial(_load, entry), entry.path, "config cannot be read")
        if isinstance(loaded, Failure):
            side.problems.append((entry.path, loaded.problem.reason))
        elif isinstance(loaded, dict):
            _add_loaded(side, cast("dict[str, object]", loaded), name, unwrap=unwrap, below=below)
    return side


def _is_in_settings_folder(path: str) -> bool:
    """Whether a file counts as settings by the name of its folder, not by its own name."""
    parts = path.split("/")
    return path.endswith(f"/{_GUILD}") or (len(parts) > 1 and parts[-2] in _BELOW and path.endswith(_SUFFIXES[:-1]))


def _add_loaded(side: Sidecar, loaded: dict[str, object], name: str, *, unwrap: bool, below: bool) -> None:
    """Adds the content of one file. In a settings folder (``agent.yaml``, ``env.yaml``), a key that an earlier file has gets
    the file's name as prefix."""
    if name == ADAPTER:
        loaded, unwrap = settings_of_adapter(loaded, side.hyperparameters), False
    if is_wrapped(loaded):
        loaded = unwrapped(loaded)
    if sum(key in loaded for key in _MODEL) > 1:
        return
    if below:
        stem = name.rsplit(".", 1)[0]
        known = side.hyperparameters
        side.hyperparameters = {**known, **{f"{stem}.{k}" if k in known else k: v for k, v in loaded.items()}}
    elif unwrap:
        _merge(side, loaded)
    else:
        side.hyperparameters = {**loaded, **side.hyperparameters}


def _load(entry: FileStat) -> object:
    return parse_settings(entry.path.replace("\\", "/"), compression.read_config_bytes(entry.path))


def _merge(side: Sidecar, loaded: dict[str, object]) -> None:
    """Adds a config; of a wrapped one (``{"config": {...}, "status": ...}``) the rest becomes facts about the run."""
    inner = next((k for k in _WRAPPERS if isinstance(loaded.get(k), dict) and _is_wrapper(loaded, k)), None)
    if inner is not None:
        side.about = {**{k: v for k, v in loaded.items() if k != inner}, **side.about}
        loaded = cast("dict[str, object]", loaded[inner])
    side.hyperparameters = {**loaded, **side.hyperparameters}


def _is_wrapper(loaded: Mapping[str, object], key: str) -> bool:
    return all(k == key or k in _ABOUT_RUN or not isinstance(v, dict) for k, v in loaded.items()) and (
        len(loaded) == 1 or any(k in _ABOUT_RUN for k in loaded)
    )
