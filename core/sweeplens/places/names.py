"""Paths below the mirror of a place, shown as paths below the place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from sweeplens.plain_data import plain_text
from sweeplens.readers.protocol import Problem

__all__ = ["PlaceNames"]


class PlaceNames:
    """The names of roots that are no folders. Without any, nothing is changed."""

    def __init__(self, roots: Sequence[Path], names: Sequence[str]) -> None:
        given = zip(map(str, roots), names, strict=True)
        self._names = tuple((plain_text(root), plain_text(name)) for root, name in given if root != name)

    def of(self, path: str) -> str:
        """Returns a path with the name of its place."""
        for root, name in self._names:
            if path == root or path.startswith(root + os.sep):
                return name + path[len(root) :].replace(os.sep, "/")
        return path

    def in_runs(self, runs: pl.DataFrame) -> pl.DataFrame:
        """Returns the runs frame with these names in its sources."""
        if not self._names or not runs.height:
            return runs
        return runs.with_columns(pl.Series("source", [self.of(path) for path in runs["source"]], runs.schema["source"]))

    def in_problems(self, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Returns problems with these names of their files."""
        if not self._names:
            return problems
        return tuple(replace(p, file=self.of(p.file), reason=self._in_text(p.reason)) for p in problems)

    def _in_text(self, text: str) -> str:
        for root, name in self._names:
            text = text.replace(root, name)
        return text
