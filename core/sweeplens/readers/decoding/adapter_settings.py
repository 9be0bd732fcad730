"""Finds and reads the settings that are saved with a fine-tuned model: those of its adapter, and the training arguments beside it.

    saved_settings(folder, known)          -> the files with settings in a run's folder and in its newest checkpoint
    settings_of_adapter(loaded, known)     -> the settings in an ``adapter_config.json`` (PEFT), under their own names

The folder of a checkpoint is named with a number (``checkpoint-500``, ``step_10``) or only with words of saved models
(``final_adapter``, ``best``). The description of a model that is saved there (``config.json``) is no setting.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import cast

from sweeplens.readers.decoding.settings_text import looks_like_settings
from sweeplens.readers.protocol import Folder

__all__ = ["ADAPTER", "saved_settings", "settings_of_adapter"]

ADAPTER = "adapter_config.json"
_ARGUMENTS = ("training_args.json", "args.json")
_COUNTED = frozenset("checkpoint ckpt cp step steps epoch iter iteration round global".split())
_SAVED = frozenset("adapter adapters lora qlora peft final best last latest model saved weights".split()) | _COUNTED
_CONTAINERS = ("checkpoints", "ckpts", "ckpt", "models", "saved_models", "weights", "adapters")
_WITHIN = "adapter_model"  # in a checkpoint
_BASE = "base_model_name_or_path"
_NOT_SET = frozenset(
    "peft_version inference_mode auto_mapping megatron_config megatron_core revision task_type loftq_config".split()
)
"""Keys that describe the file or the library, not the training."""
_HUB = re.compile(r"models--([^/\\]+)")
_PATH = re.compile(r"[/\\.~]|[A-Za-z]:[\\/]|.*[/\\].*[/\\]")
_CHECKPOINT_NAME = re.compile(
    r"(?:checkpoint|ckpt|step|epoch|snapshot)s?[-_]?\w{0,40}|final|best|last|latest|merged", re.I
)
_MOST_ABOVE = 32  # folders in one that is above a log: where there are more, they are runs
_UP = 2


def saved_settings(folder: Folder, known: Collection[str]) -> tuple[str, ...]:
    """Returns the files relative to the folder of a log; ``../`` leads up, to the run's folder. ``known``: its other settings."""
    up = ""
    for level in range(_UP + 1):
        here = folder.child(up.rstrip("/")) if up else folder
        if here is None:
            return ()
        found = tuple(_saved_in(folder, here, up, known)) if not level or len(here.folders) <= _MOST_ABOVE else ()
        if found:
            return found
        up += "../"
    return ()


def _saved_in(folder: Folder, here: Folder, up: str, known: Collection[str]) -> Iterator[str]:
    """Yields those of one run's folder: the arguments of its newest checkpoint, if it has none itself, and the adapter's."""
    newest = _newest(here)
    names = {n.rpartition("/")[2] for n in known}
    for name in _ARGUMENTS if newest else ():
        path = f"{up}{newest}/{name}"
        if name not in names and folder.find(path) and looks_like_settings(name, folder.head(path)):
            yield path
    places = (ADAPTER, f"{newest}/{ADAPTER}", f"{newest}/{_WITHIN}/{ADAPTER}") if newest else (ADAPTER,)
    yield from [up + path for path in places if folder.find(up + path)][:1]


def _newest(here: Folder) -> str:
    """Returns the newest checkpoint of a folder with saved settings, by its number; "" where there is none."""
    found = [(_number(path), path) for path in _checkpoints(here)]
    return max(found, default=(0, ""))[1]


def _checkpoints(here: Folder) -> Iterator[str]:
    for name, child in here.folders.items():
        if _is_checkpoint(name) and _holds_settings(child):
            yield name
        elif name in _CONTAINERS:
            yield from (f"{name}/{n}" for n, c in child.folders.items() if _is_checkpoint(n) and _holds_settings(c))


def _holds_settings(child: Folder) -> bool:
    return _WITHIN in child.folders or any(n in child.files for n in (ADAPTER, *_ARGUMENTS))


def _is_checkpoint(name: str) -> bool:
    words = re.findall(r"[a-z]+|\d+", name.lower())
    letters = {w for w in words if not w.isdigit()}
    numbered = len(letters) < len(words)
    return bool(letters) and letters <= _SAVED and (not numbered or bool(letters & _COUNTED))


def _number(path: str) -> int:
    numbers = re.findall(r"\d{1,18}", path.rpartition("/")[2])
    return int(numbers[-1]) if numbers else -1


def settings_of_adapter(loaded: Mapping[str, object], known: Mapping[str, object]) -> dict[str, object]:
    """Returns the settings of an adapter without what is not set.

    The base model is named without the path of this machine, and left out where a known setting names it.
    """
    found: dict[str, object] = {}
    for key, value in loaded.items():
        if key not in _NOT_SET and value is not None and value not in ({}, []):
            found[key] = _in_order(value)
    base = found.get(_BASE)
    if isinstance(base, str):
        found[_BASE] = _model_name(base)
        if any(isinstance(v, str) and _model_name(v) == found[_BASE] for v in known.values()):
            del found[_BASE]
    return found


def _in_order(value: object) -> object:
    """Returns names of modules sorted: they are a set, which is saved in any order."""
    if not isinstance(value, list):
        return value
    items = cast("list[object]", value)
    return sorted(cast("list[str]", items)) if all(isinstance(v, str) for v in items) else items


def _model_name(path: str) -> str:
    """Returns the name of a model: that of the hub, or of a folder its last part that is no checkpoint's with what follows."""
    hub = _HUB.search(path)
    if hub:
        return hub[1].replace("--", "/")
    parts = [p for p in re.split(r"[/\\]+", path) if p]
    if not _PATH.match(path) or not parts:
        return path
    start = len(parts) - 1
    while start > 0 and _CHECKPOINT_NAME.fullmatch(parts[start]):
        start -= 1
    return "/".join(parts[start:])
