"""Names of scores whose files are of another checkpoint or split than the run's main report, so that nothing is mixed.

of_checkpoint(name, stem)           the score of ``test_results_last.json`` is ``last/test_acc``, in every run
apart_by_file(name, stem, stems)    of files with different values under one name, the main report keeps the name: the
                                    one whose words are all in the others' names (``test_results`` beside
                                    ``test_results_step_500``: ``step_500/test_acc``). Where none is the main one,
                                    each has its file's stem (``a_results.acc``), and so has that of a split
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["SPLITS", "apart_by_file", "of_checkpoint"]

SPLITS = frozenset("test testing val valid validation dev holdout eval ood iid best final last".split())
"""Words of a split, or of a place in training, in the name of a file or a score."""
_CHECKPOINTS = ("best", "last", "latest", "ema", "swa")
_KINDS = frozenset("predict prediction predictions eval evaluation result results metric metrics score scores".split())


def of_checkpoint(name: str, stem: str) -> str:
    """Returns the name of a score, with the checkpoint that its file is named after, unless the score names it."""
    known = set(_words(name))
    found = [w for w in _words(stem) if w in _CHECKPOINTS and w not in known]
    return f"{'_'.join(found)}/{name}" if found else name


def apart_by_file(name: str, stem: str, stems: Sequence[str]) -> str:
    """Returns the name of a score that several files report differently. ``stems``: of all these files."""
    mine = set(_words(stem))
    others = [set(_words(s)) for s in stems if s != stem]
    if all(mine < other for other in others):
        return name
    main = min((o for o in others if o < mine and all(o <= x for x in others)), key=len, default=None)
    distinct = [w for w in _words(stem) if main is not None and w not in main]
    told = [w for w in distinct if w not in _KINDS]
    if main is None or not told or SPLITS.intersection(told):
        return f"{stem}.{name}"
    return f"{'_'.join(told)}/{name}"


def _words(stem: str) -> list[str]:
    """Returns the words of a name; ``all`` says nothing of it."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem)
    return [w for w in re.split(r"[^a-z0-9]+", split.lower()) if w and w != "all"]
