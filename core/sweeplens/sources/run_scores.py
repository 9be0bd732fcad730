"""Finds the scores and costs among the facts that a run's script wrote down, so that they can be ranked as metrics.

    scores_of(record, facts)      -> its scores, under the names that they have as metrics
    placed(scores, logged)        -> (metric, step, value) of those that the log does not have, and those that it has

A number is a score by its name (`goal_names`), or, under an unknown name, if it is a fraction or named after a split. Counts,
sizes, times of the day, identifiers, and settings of the run are none. A score keeps its own name, unless its file is of another
checkpoint or split (`report_names`). Of a metric that the log has, the log counts.

The point is at the run's last step, or at the step that the file states.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from sweeplens.frames.goal_names import read_name
from sweeplens.models import flatten
from sweeplens.plain_data import plain_text
from sweeplens.readers.decoding.values import as_step, number_in
from sweeplens.readers.protocol import RunRecord
from sweeplens.sources.report_names import SPLITS, apart_by_file, of_checkpoint
from sweeplens.sources.run_facts import Facts, joined

__all__ = ["REPORTS", "Score", "contradiction", "placed", "scores_of"]

_SETTINGS = frozenset(
    "config configuration args arguments hparams hyperparameters params settings options opt cfg env environment system machine "
    "hardware git slurm versions packages requirements counts sizes dataset data timestamps time_stamps confusion_matrix cm".split()
)
"""Objects whose numbers are no scores."""
_DESCRIPTIVE = frozenset("info meta metadata system env environment machine model dataset data".split())
"""Words of a file that describes more than it reports: only numbers with the name of a score count there."""
_COUNTS = frozenset("n num count counts total size sizes number nb".split())
_NONE = frozenset(
    "seed id ids rank port pid version gpu gpus device devices node nodes job year month day date timestamp start started end "
    "ended finished created updated begin began at batch layer layers head heads dim dims hidden width height depth workers "
    "patience fold split trial index idx examples samples instances params parameters classes vocab length len max_steps "
    "code rc exit returncode retries restarts attempt attempts cpu cpus threads processes nproc world local global lr wd "
    "bs epochs".split()
)
_PLACES = frozenset("step steps epoch epochs iter iters iteration iterations update updates round rounds".split())
_WHERE = frozenset("best last final global current total num train trained".split())
_MOMENTS = frozenset("start end started ended begin began created finished stamp timestamp updated".split())
_COSTS = re.compile(
    r"(?:^|_)(?:flops|flos|total_flos|tokens_seen|tokens_processed|gpu_hours?|kwh|usd|cost|co2|kg_co2)(?:_|$)"
)
_UNSCORED = ("a setting, not a result", "a size, a number or a place in time", "a number of things")
_CLOCK = "a clock: longer runs show more"
_LEARNING_RATE = re.compile(r"(?:^|[._/])(?:lr|learning_?rate)(?:$|[._/])", re.IGNORECASE)
_STEP_NAMES = ("step", "global_step", "final_step", "last_step", "iteration", "steps", "n_steps", "total_steps")
_BEST_STEPS = ("best_step", "best_global_step", "best_iteration")
_EPOCHS = ("epochs", "num_epochs", "n_epochs", "max_epochs", "total_epochs", "num_train_epochs")
_OWN = ("summary", "results")  # metadata in which readers keep what a producer reports at the end
_MEAN, _RUNTIME = "train_loss", "train_runtime"  # what transformers' Trainer reports together: the former is a mean
_STEPS = 1 << 63  # as many as a frame can number
_LATEST_TIME = 3e8  # a larger number of seconds is a date
REPORTS = "reports "
"""The beginning of a problem about a reported value that the log contradicts."""
_MOST = 60  # scores of one run
_LONGEST = 200  # characters of a name


class Score(Struct, frozen=True):
    """A reported number: its ``name`` as a metric, the ``key`` in the file, and the file's ``stem``.

    ``apart``: of one split, which its name does not say. ``step``, ``epoch``: as the file states them; ``epochs``: how many
    were planned, which tells whether the log counts epochs.
    """

    name: str
    key: str
    stem: str
    value: float
    step: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    apart: bool = False

    @property
    def full(self) -> str:
        """Returns the name with the file's stem."""
        return f"{self.stem}.{self.key}"


def scores_of(record: RunRecord, facts: Facts) -> tuple[Score, ...]:
    """Returns the scores among facts from files, and among what the producer of the log reports, each once."""
    told = joined(facts, {} if record.status == "running" else _own(record))
    flat = (
        {n: v for name, v in flatten(record.hyperparameters).items() for n in (name, name.rpartition(".")[2])}
        if told
        else {}
    )
    found: dict[str, list[Score]] = {}
    for stem, values in told.items():
        for score in _in_file(stem, values, flat):
            found.setdefault(score.name, []).append(score)
    return tuple(s for same in found.values() for s in _named(same))[:_MOST]


def _own(record: RunRecord) -> Facts:
    """Returns what the producer of the log reports at its end, by the name of the object that holds it."""
    return cast("Facts", {k: v for k, v in record.metadata.items() if k in _OWN and isinstance(v, Mapping)})


def placed(
    scores: Sequence[Score], logged: Mapping[str, int]
) -> tuple[list[tuple[str, int, float]], list[tuple[str, Score]]]:
    """Returns (metric, step, value) of scores that are no metric of the log, and (metric, score) of the others.

    ``logged``: metric of the log -> its last step.
    """
    last = max(logged.values(), default=None)
    known = {_plain(name): name for name in logged}
    means = {_MEAN} - logged.keys() if any(s.name == _RUNTIME for s in scores) else frozenset[str]()
    rows: list[tuple[str, int, float]] = []
    doubled: list[tuple[str, Score]] = []
    for score in scores:
        if _plain(score.name) not in known or score.name in means:
            rows.append((score.name, _step(score, last), score.value))
        elif score.apart and _plain(score.full) not in known:
            rows.append((score.full, _step(score, last), score.value))
        else:
            doubled.append((known[_plain(score.name)], score))
    return rows, doubled


def contradiction(metric: str, score: Score, values: Sequence[float]) -> str:
    """Returns how a reported value contradicts the logged ones, in a sentence; empty where the log has it."""
    verdict = read_name(score.key)
    if verdict.aside or _CLOCK in verdict.reason:
        return ""  # a cost is another one each time that it is measured
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    if not finite or any(
        _same(score.value, v) or _same(score.value / 100, v) or _same(score.value, v / 100) for v in finite
    ):
        return ""
    return (
        f"{REPORTS}{score.name} {score.value:.6g}, which the log does not have: its {metric} ends at {values[-1]:.6g} and lies "
        f"between {min(finite):.6g} and {max(finite):.6g}; the log counts"
    )


def _in_file(stem: str, values: Mapping[str, object], settings: Mapping[str, object]) -> Iterator[Score]:
    """Yields the scores of one file."""
    epochs = _stated({**settings, **values}, _EPOCHS)
    at_end = (_stated(values, _STEP_NAMES), _stated(values, ("epoch",)), epochs)
    at_best = (_stated(values, _BEST_STEPS), _stated(values, ("best_epoch",)), epochs)
    words_of_file = set(_words(stem))
    splits = SPLITS & words_of_file
    for path, value in _leaves(values, ()):
        number = None if path[-1] in settings else number_in(value)
        name = plain_text(".".join(path))
        known = _DESCRIPTIVE.isdisjoint(words_of_file) or read_name(name).goal != "unknown"
        if number is not None and known and len(name) <= _LONGEST and _is_score(path, number):
            own = of_checkpoint(name, stem)
            words = set(_words(own))
            at = at_best if "best" in words and any(v is not None for v in at_best[:2]) else at_end
            yield Score(own, name, stem, number, *at, apart=bool(splits - words) and own == name)


def _leaves(values: Mapping[str, object], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yields (path, value), without objects that hold no scores."""
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield (*above, str(key)), value
        elif str(key).lower() not in _SETTINGS:
            yield from _leaves(cast("Mapping[str, object]", value), (*above, str(key)))


def _named(same: Sequence[Score]) -> Iterable[Score]:
    """Returns the scores of one name in several files: one where they agree, else apart by their files."""
    first = same[0]
    if all(s.apart == first.apart and _same(s.value, first.value) for s in same):
        return (first,)
    stems = [s.stem for s in same]
    return (replace(s, name=apart_by_file(s.name, s.stem, stems), apart=False) for s in same)


def _is_score(path: tuple[str, ...], value: float) -> bool:
    """Whether a number is a score or a cost by its name and form."""
    name, words = ".".join(path), _words(path[-1])
    whole = value.is_integer()  # not of NaN
    if _PLACES.intersection(words) and set(words) <= _PLACES | _WHERE:
        return False
    if (
        path[-1].startswith("_")
        or not words
        or words[0] in _COUNTS
        or words[-1] in _COUNTS
        or _LEARNING_RATE.search(name)
    ):
        return bool(_COSTS.search(_plain(name)))
    if (words[-1] in _PLACES and whole) or name.lower() in ("best", "final", "last", "value", "result"):
        return False  # the last ones name no quantity
    verdict = read_name(name)
    if verdict.goal != "unknown":
        return True
    if _CLOCK in verdict.reason:
        return _MOMENTS.isdisjoint(words) and value < _LATEST_TIME
    if _COSTS.search(_plain(name)):
        return True
    if any(reason in verdict.reason for reason in _UNSCORED) or words[-1] in _NONE or words[0] in _NONE:
        return False
    return not whole or bool(SPLITS & set(_words(name)))


def _stated(values: Mapping[str, object], names: Sequence[str]) -> int | None:
    """Returns the step that a file states, if it does."""
    found = (as_step(values.get(n)) for n in names)
    return next((v for v in found if v is not None and 0 <= v < _STEPS), None)


def _step(score: Score, last: int | None) -> int:
    """Returns where a score's point is: never after the last step of the log."""
    if last is None:
        return score.step or 0
    by_epoch = score.epoch is not None and score.epochs in (last, last + 1)
    stated = score.epoch if by_epoch else score.step
    return last if stated is None else min(stated, last)


def _same(a: float, b: float) -> bool:
    """Whether two numbers are equal, one of them perhaps rounded to fewer digits."""
    if a == b or (a != a and b != b):
        return True
    digits = min(_decimals(a), _decimals(b))
    return abs(a - b) <= max(0.5001 * 10.0**-digits if digits >= 3 else 0.0, 1e-6 * max(abs(a), abs(b)))


def _decimals(value: float) -> int:
    """Returns the number of decimals with which a number was written."""
    text = repr(value)
    return 17 if "e" in text else len(text.rpartition(".")[2]) if "." in text else 0


def _plain(name: str) -> str:
    """Returns a name without its marks, so that ``test/acc``, ``test.acc`` and ``test_acc`` are one."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _words(name: str) -> list[str]:
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [w for w in re.split(r"[^a-z0-9]+", split.lower()) if w]
