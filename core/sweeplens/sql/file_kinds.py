"""Kinds of files by their names, and which of them hold text for people."""

from __future__ import annotations

import re

from sweeplens.readers.decoding.fact_names import is_facts
from sweeplens.readers.decoding.sidecars import SETTINGS_NAMES

__all__ = ["KINDS", "holds_text", "is_printed", "is_table_name", "kind_of"]

KINDS = ("log", "result", "table", "notes", "config", "script", "output", "image", "checkpoint", "other")
_TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods", ".parquet", ".pq", ".feather", ".arrow", ".jsonl", ".ndjson")
_NOTES = (".md", ".txt", ".rst", ".org", ".adoc", ".tex", ".bib")
_CONFIGS = (".yaml", ".yml", ".toml", ".ini", ".cfg", ".gin")
_SCRIPTS = (".py", ".sh", ".bash", ".sbatch", ".slurm", ".pbs", ".r", ".jl", ".ipynb", ".lua", ".m")
_OUTPUT = re.compile(r"(?i).*\.(?:log|out|err|stdout|stderr)|.*\.[oe]\d+|slurm[-_].*|nohup.*|std(?:out|err)")
_IMAGES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".gif", ".webp", ".eps", ".tif", ".tiff")
_CHECKPOINTS = (
    ".pt",
    ".pth",
    ".ckpt",
    ".safetensors",
    ".h5",
    ".hdf5",
    ".onnx",
    ".pkl",
    ".pickle",
    ".joblib",
    ".npz",
    ".npy",
    ".bin",
)
_QUERIED = (
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".ndjson",
    ".md",
    ".txt",
    ".dat",
    ".parquet",
    ".pq",
    ".feather",
    ".arrow",
    ".xlsx",
    ".xls",
)


def kind_of(name: str, *, read: bool) -> str:
    """Returns one of `KINDS` for a file's name. ``read``: whether a reader takes runs from the file."""
    low, suffix = name.lower(), _suffix(name)
    if name in SETTINGS_NAMES or suffix in _CONFIGS:
        return "config"
    if read:
        return "log"
    if is_facts(name) and suffix == ".json":
        return "result"
    kinds = ((_TABLES, "table"), (_SCRIPTS, "script"), (_IMAGES, "image"), (_CHECKPOINTS, "checkpoint"))
    found = next((kind for suffixes, kind in kinds if suffix in suffixes), "")
    if found:
        return found
    if _OUTPUT.fullmatch(low):
        return "output"
    if suffix in _NOTES or low in ("readme", "notes", "todo", "license", "changelog"):
        return "notes"
    return "table" if suffix == ".json" else "other"


def _suffix(name: str) -> str:
    stem, dot, suffix = name.lower().rpartition(".")
    return dot + suffix if stem else ""


def holds_text(name: str) -> bool:
    """Whether a file holds text by its name."""
    suffix = _suffix(name)
    plain = (*_NOTES, *_CONFIGS, *_SCRIPTS, ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".dat")
    return suffix in plain or _OUTPUT.fullmatch(name.lower()) is not None or kind_of(name, read=False) == "notes"


def is_printed(name: str) -> bool:
    """Whether a file is named like what a program printed, and not like data."""
    return _suffix(name) in _NOTES or _OUTPUT.fullmatch(name.lower()) is not None


def is_table_name(name: str) -> bool:
    """Whether a name in a query may be that of a table in a file: ``leaderboard.csv``, ``notes.md#2``."""
    return name.lower().rpartition("#")[0 if re.search(r"#\d+$", name) else 2].endswith(_QUERIED)
