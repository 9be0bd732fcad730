"""Hyperparameters that lie beside a log: which files of a folder they are, and what they say.

The rule: a config beside the log (same folder) counts; where the folder is inside a Hydra run, the nearest ``.hydra/``
above counts too, and the file beside the log wins where both name a key. Files are parsed as data only. What was varied
(``.hydra/overrides.yaml``) and the sweep that a run belongs to (the folder with ``multirun.yaml``) come with it.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import cast

from msgspec.structs import replace

from sweeplens.errors import FormatError
from sweeplens.readers.boundary import Failure, contained
from sweeplens.readers.decoding import compression
from sweeplens.readers.decoding.json_lines import decode
from sweeplens.readers.protocol import FileStat, Folder, RunRecord, Source

__all__ = ["Sidecar", "config_files", "in_hydra", "load_yaml", "read_config"]

CONFIG_NAMES = (
    "config.json", "config.yaml", "config.yml", "hparams.json", "hparams.yaml", "hparams.yml", "params.json", "params.yaml",
    "params.yml", "hyperparameters.json", "hyperparameters.yaml", "args.json", "args.yaml", "run.json",
)  # fmt: skip
_WRAPPERS = ("config", "hyperparameters", "hparams", "params", "args")
_ABOUT_RUN = ("status", "state", "run_id", "id", "name", "tags", "group", "started", "created_at", "start_time", "end_time",
              "finished_at", "metadata", "version", "host", "user", "notes", "project", "exit_code")  # fmt: skip
_HYDRA, _OVERRIDES, _HYDRA_OWN = ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml"
_SWEEP = "multirun.yaml"


class Sidecar:
    """What the sidecars said: hyperparameters as they nest, and what they say about the run itself."""

    def __init__(self) -> None:
        self.hyperparameters: dict[str, object] = {}
        self.about: dict[str, object] = {}
        self.problems: list[tuple[str, str]] = []


def config_files(folder: Folder) -> tuple[str, ...]:
    """Names of the config files that belong to logs in this folder, relative to it; ``../`` leads to a Hydra run above."""
    own = tuple(n for n in CONFIG_NAMES if n in folder.files)
    up, here = "", folder
    while here is not None:
        if here.find(_HYDRA):
            rest = (f"{up}{n}" for n in (_OVERRIDES, _HYDRA_OWN) if here.find(n))
            return (*own, f"{up}{_HYDRA}", *rest, *_sweep_above(here, up))
        up, here = f"../{up}", here.parent
    return own


def _sweep_above(run: Folder, up: str) -> tuple[str, ...]:
    """The ``multirun.yaml`` of the sweep that a Hydra run is a job of: it lies in a folder above the job's."""
    here = run.parent
    while here is not None:
        up = f"../{up}"
        if _SWEEP in here.files:
            return (f"{up}{_SWEEP}",)
        here = here.parent
    return ()


def in_hydra(source: Source, record: RunRecord) -> RunRecord:
    """The record with ``metadata.overrides`` and its sweep's folder as group, where the source lies in a Hydra run."""
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
    """What the command line set, as it was written; nothing where the file cannot be read (its config says it all)."""
    try:
        found = _load(entry)
    except (OSError, ValueError, RecursionError, FormatError):
        return []
    return [str(item) for item in cast("list[object]", found)] if isinstance(found, list) else []


def read_config(files: Iterable[FileStat], *, names: Collection[str] = CONFIG_NAMES, unwrap: bool = True) -> Sidecar:
    """Read the config files among a source's files; the first that names a key wins. A broken one is a problem.

    ``unwrap=False``: the producer is known to write hyperparameters and nothing else, whatever they are called.
    """
    side = Sidecar()
    for entry in files:
        name = entry.path.replace("\\", "/").rsplit("/", 1)[-1]
        if name not in names:
            continue
        loaded = contained(partial(_load, entry), entry.path, "config cannot be read")
        if isinstance(loaded, Failure):
            side.problems.append((entry.path, loaded.problem.reason))
            continue
        if isinstance(loaded, dict) and unwrap:
            _merge(side, cast("dict[str, object]", loaded))
        elif isinstance(loaded, dict):
            side.hyperparameters = {**cast("dict[str, object]", loaded), **side.hyperparameters}
    return side


def _load(entry: FileStat) -> object:
    data = compression.read_config_bytes(entry.path)
    return decode(data.removeprefix(BOM_UTF8)) if entry.path.endswith(".json") else load_yaml(data.decode("utf-8-sig"))


def _merge(side: Sidecar, loaded: dict[str, object]) -> None:
    """A config that is wrapped (``{"config": {...}, "status": ...}``) is unwrapped; the rest is about the run."""
    inner = next((k for k in _WRAPPERS if isinstance(loaded.get(k), dict) and _is_wrapper(loaded, k)), None)
    if inner is not None:
        side.about = {**{k: v for k, v in loaded.items() if k != inner}, **side.about}
        loaded = cast("dict[str, object]", loaded[inner])
    side.hyperparameters = {**loaded, **side.hyperparameters}


def _is_wrapper(loaded: Mapping[str, object], key: str) -> bool:
    return all(k == key or k in _ABOUT_RUN or not isinstance(v, dict) for k, v in loaded.items()) and (
        len(loaded) == 1 or any(k in _ABOUT_RUN for k in loaded)
    )


def load_yaml(text: str) -> object:
    """YAML as plain data: nothing is constructed but dicts, lists, text, numbers, times. Raises ValueError."""
    from sweeplens.readers.decoding.loose_yaml import load  # the parser takes as long to import as all readers

    return load(text)
