"""Files that list the cases of each fold, and which cases are in two parts of a fold.

    is_split_file(name)   whether a file may be one, by its name: ``splits_v1.json``, ``splits_final.json``, ``folds.json``
    overlaps_in(file)     fold -> how many of its validation or test cases are also in another part, in words

A file holds a list of folds, folds by name, or one fold; a fold holds lists of cases under ``train`` and ``val`` or ``test``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from sweeplens.errors import FormatError
from sweeplens.readers.decoding import compression
from sweeplens.readers.protocol import FileStat

__all__ = ["is_split_file", "overlaps_in"]

_NAME = re.compile(r"(?i).*(?:split|fold|partition|cross_?val).*\.json")
_MOST_BYTES = 32 << 20
_PARTS = {
    "train": "train", "training": "train", "train_cases": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "val_cases": "val", "test": "test", "testing": "test", "holdout": "test", "test_cases": "test",
}  # fmt: skip
_CALLED = {"val": "validation", "test": "test"}
_PAIRS = (("val", "train"), ("test", "train"), ("test", "val"))
_NAMED = 3  # cases that a sentence names
Fold = Mapping[str, Sequence[str]]


def is_split_file(name: str) -> bool:
    """Whether a file may list the cases of folds, by its name."""
    return bool(_NAME.fullmatch(name))


def overlaps_in(file: FileStat) -> dict[str, str]:
    """Returns the folds of a file, by number or name, with a sentence on cases in two parts; "" where there are none.

    Raises FormatError and ValueError if the file is no JSON or too large.
    """
    if file.size > _MOST_BYTES:
        raise FormatError(f"it has more than {_MOST_BYTES >> 20} MB")
    return {name: "; ".join(_sentences(fold)) for name, fold in _folds(json.loads(compression.read_plain(file.path)))}


def _folds(value: object) -> Iterator[tuple[str, Fold]]:
    """Yields the folds in a file: with their number in a list, their name, or "" for a single one."""
    if isinstance(value, list):
        items = cast("list[object]", value)
        yield from ((str(i), fold) for i, item in enumerate(items) if (fold := _fold(item)))
    elif isinstance(value, dict):
        named = cast("dict[str, object]", value)
        if fold := _fold(named):
            yield "", fold
        elif len(named) == 1 and isinstance(inner := next(iter(named.values())), list):
            yield from _folds(cast("object", inner))
        else:
            yield from ((str(name), fold) for name, item in named.items() if (fold := _fold(item)))


def _fold(value: object) -> Fold:
    """Returns the lists of cases of a fold by part; nothing if it has fewer than two."""
    if not isinstance(value, dict):
        return {}
    lists = cast("dict[str, object]", value)
    named = {_PARTS[k.lower()]: v for k, v in lists.items() if k.lower() in _PARTS}
    fold = {part: [_case(c) for c in cast("list[object]", v)] for part, v in named.items() if isinstance(v, list)}
    return fold if "train" in fold and len(fold) > 1 else {}


def _case(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _sentences(fold: Fold) -> Iterator[str]:
    for part, other in _PAIRS:
        cases = set(fold.get(part, ()))
        if both := sorted(cases & set(fold.get(other, ()))):
            more = ", ..." if len(both) > _NAMED else ""
            verb = "is" if len(both) == 1 else "are"
            yield (
                f"{len(both):,} of {len(cases):,} {_CALLED[part]} cases {verb} in {other} ({', '.join(both[:_NAMED])}{more})"
            )
