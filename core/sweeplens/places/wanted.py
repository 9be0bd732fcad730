"""Which files of a place are fetched: those that a reader may claim, by name and size. Of the others only the names are kept.

Weights, pictures, sounds and archives are never fetched. A name that readers know is fetched whatever its size; any other
file (a setting without an ending, a status) only if it is small.
"""

from __future__ import annotations

import re

from sweeplens.places.remote import RemoteFile
from sweeplens.readers import all_readers
from sweeplens.readers.lazy_reader import LazyReader

__all__ = ["grows_at_its_end", "is_skipped", "is_wanted"]

_SMALL = 1 << 20
_SMALL_ARCHIVE = 64 << 20  # an archive of an offline experiment is a log
_NEVER = re.compile(
    r"\.(?:pt|pth|ckpt|bin|safetensors|onnx|gguf|h5|hdf5|keras|pb|tflite|pkl|pickle|joblib|distcp|data-\d+-of-\d+|index|"
    r"png|jpe?g|gif|bmp|tiff?|webp|svg|mp4|avi|mov|mkv|webm|wav|mp3|flac|ogg|pdf|glb|obj|stl|ply|"
    r"tar|tgz|tbz2?|txz|7z|rar|(?:tar\.(?:gz|bz2|xz|zst))|whl|so|exe|pyc|tfrecords?|lmdb|mdb)$",
    re.IGNORECASE,
)
_SKIPPED = re.compile(
    r"(?:^|/)(?:\.git|\.hg|\.svn|__pycache__|node_modules|\.venv|site-packages|\.ipynb_checkpoints|__MACOSX)/"
)
_SERIES = re.compile(r"(?:^|/)(?:metrics|params|tags)/")  # in MLflow's file store a file is named as its metric
_APPENDED = re.compile(r"\.(?:jsonl|ndjson|jsonlines|log|out|err|csv|tsv|txt|wandb|log\.json)$|tfevents", re.IGNORECASE)


def is_skipped(name: str) -> bool:
    """Whether a file lies in a folder that no walk enters."""
    return bool(_SKIPPED.search(name))


def is_wanted(file: RemoteFile) -> bool:
    """Whether the content of a file may matter to a reader."""
    if _SERIES.search(file.name):
        return True
    if _NEVER.search(file.name):
        return False
    if file.name.lower().endswith(".zip"):
        return file.size <= _SMALL_ARCHIVE
    if file.size <= _SMALL:
        return True
    name = file.name.rpartition("/")[2]
    return any(not isinstance(reader, LazyReader) or reader.may_claim(name) for reader in all_readers())


def grows_at_its_end(name: str) -> bool:
    """Whether a larger file of this name is the old one and more: a log, unlike a database, is only appended to."""
    return bool(_APPENDED.search(name))
