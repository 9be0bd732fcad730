"""Tells which text logs of a folder are the splits of one training: ``train.log`` and ``valid.log``, ``a_train.txt`` and ``a_test.txt``.

split_groups(names)   -> the names by training; a training with one log is a group of one
split_in(name)        -> the split that a file is named after; "" where there is none
with_split(points, s) -> points whose metrics have the split as prefix, unless they name one themselves
"""  # noqa: E501 - its first line

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

import polars as pl

from sweeplens.readers.decoding.compression import plain_name
from sweeplens.readers.text.names import SPLITS

__all__ = ["split_groups", "split_in", "with_split"]


def split_groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the names by training, in their order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        split, rest = _parts(name)
        groups.setdefault((rest, "") if split else (rest, name), []).append(name)
    found: list[tuple[str, ...]] = []
    for group in groups.values():
        splits = {split_in(n) for n in group}
        found += [tuple(group)] if len(splits) == len(group) else [(n,) for n in group]
    return found


def split_in(name: str) -> str:
    """Returns the split in the name of a file: ``valid.log`` -> ``val``; "" where there is none or several."""
    return _parts(name)[0]


def _parts(name: str) -> tuple[str, str]:
    """Returns the split in a file's name, and the rest of the name."""
    path = PurePath(plain_name(name.replace("\\", "/").rsplit("/", 1)[-1]))
    words = re.split(r"([^a-z0-9]+)", path.stem.lower())
    splits = [SPLITS[w] for w in words if w in SPLITS]
    rest = "".join(w for w in words if w not in SPLITS).strip("._- ")
    return (splits[0] if len(splits) == 1 else "", rest + path.suffix)


def with_split(points: pl.DataFrame, split: str) -> pl.DataFrame:
    """Returns points whose metrics have the split as prefix, unless they name one themselves."""
    names = points["metric"].unique().to_list()
    named = {n: n if _names_split(n) else f"{split}/{n}" for n in names}
    return points.with_columns(pl.col("metric").replace_strict(named, return_dtype=pl.String)) if named else points


def _names_split(metric: str) -> bool:
    return re.split(r"[^a-z]", metric.lower(), maxsplit=1)[0] in SPLITS
