"""Finds the known names that a wrong name probably means.

    nearest(name, known)        the most similar names, best first
    MEANINGS                    words of other tools for the values of an argument, such as ``max`` for goal ``higher``

Names are compared by spelling without case and punctuation, with common long forms as their short ones (``learning_rate``
and ``lr``), and by containment.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

__all__ = ["MEANINGS", "nearest"]

_CUTOFF = 0.5
_LONG = 4  # characters of a name whose continuations come first
_MOST_CHARACTERS = 200  # of a name that is compared
_MOST_COMPARED = 200  # names that are compared letter by letter, which takes up to milliseconds each
_SHORT_FORMS = {
    "learningrate": "lr", "batchsize": "bs", "weightdecay": "wd", "accuracy": "acc", "validation": "val", "valid": "val",
    "evaluation": "val", "eval": "val", "perplexity": "ppl", "optimizer": "optim", "optimiser": "optim", "training": "train",
    "testing": "test", "gradient": "grad",
}  # fmt: skip

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "goal": {
        **dict.fromkeys(("max", "maximize", "maximise", "maximum", "up", "high", "highest", "larger", "greater"), "higher"),
        **dict.fromkeys(("desc", "descending"), "higher"),
        **dict.fromkeys(("min", "minimize", "minimise", "minimum", "down", "low", "lowest", "smaller", "less"), "lower"),
        **dict.fromkeys(("asc", "ascending"), "lower"),
    },
    "x": {
        **dict.fromkeys(("time", "times", "seconds", "walltime", "wallclock", "timestamp", "elapsed", "duration"), "wall_time"),
        **dict.fromkeys(("steps", "iteration", "iterations", "iter", "globalstep", "update", "updates", "batch"), "step"),
    },
    "reduce": {
        **dict.fromkeys(("final", "end", "latest"), "last"),
        **dict.fromkeys(("average", "avg", "median"), "mean"),
        **dict.fromkeys(("minimum", "lowest"), "min"),
        **dict.fromkeys(("maximum", "highest", "peak"), "max"),
        **dict.fromkeys(("area", "aulc"), "auc"),
        **dict.fromkeys(("step", "common", "atstepcommon"), "at_step"),
        **dict.fromkeys(("lastn", "tail", "smoothed"), "last_k"),
    },
    "kind": {
        **dict.fromkeys(("line", "lines", "lineplot", "linechart", "learningcurves", "series"), "curves"),
        **dict.fromkeys(("bar", "bars", "barplot", "barchart", "box", "boxplot", "violin", "leaderboard"), "ranking"),
        **dict.fromkeys(("points", "dots", "scatterplot"), "scatter"),
        **dict.fromkeys(("parallelcoordinates", "pcp"), "parallel"),
        **dict.fromkeys(("matrix", "grid", "contour"), "heatmap"),
        **dict.fromkeys(("effects", "featureimportance", "shap"), "importance"),
        **dict.fromkeys(("gantt", "history"), "timeline"),
    },
    "by": {
        **dict.fromkeys(("hparam", "hparams", "setting", "settings", "config", "configs"), "group"),
        **dict.fromkeys(("single", "seed", "seeds", "runid", "trial"), "run"),
    },
    "statistic": {
        **dict.fromkeys(("final", "end", "latest", "value"), "last"),
        **dict.fromkeys(("best", "maximum", "highest", "peak"), "max"),
        **dict.fromkeys(("minimum", "lowest"), "min"),
        **dict.fromkeys(("average", "avg", "median"), "mean"),
        **dict.fromkeys(("count", "len", "points"), "n"),
        **dict.fromkeys(("nan", "nans"), "n_nan"),
    },
    "status": {
        **dict.fromkeys(("done", "complete", "completed", "success", "succeeded", "ok", "finish", "ended"), "finished"),
        **dict.fromkeys(("error", "errored", "fail", "failure", "exception"), "failed"),
        **dict.fromkeys(("active", "live", "inprogress", "started", "run"), "running"),
        **dict.fromkeys(("crash", "died", "dead", "lost"), "crashed"),
        **dict.fromkeys(("stopped", "aborted", "canceled", "cancelled", "interrupted", "preempted"), "killed"),
        **dict.fromkeys(("pending", "queued", "planned", "scheduled"), "waiting"),
    },
    "argument": {
        **dict.fromkeys(("filter", "filters", "condition", "conditions", "filterby"), "where"),
        **dict.fromkeys(("sql", "statement"), "query"),
        **dict.fromkeys(("n", "top", "topk", "topn", "maxrows", "rows", "count", "k", "head", "maxresults"), "limit"),
        **dict.fromkeys(("page", "offset", "pagetoken", "nextcursor", "since", "after"), "cursor"),
        **dict.fromkeys(("step", "atsteps"), "at_step"),
        **dict.fromkeys(("direction", "mode", "objective", "optimize", "maximize", "minimize", "higherisbetter"), "goal"),
        **dict.fromkeys(("aggregate", "aggregation", "agg", "reduction", "summary", "statistic"), "reduce"),
        **dict.fromkeys(("groupby", "groups", "params", "hyperparameters", "keys"), "hparams"),
        **dict.fromkeys(("param", "hyperparameter", "parameter", "levels", "factor"), "hparam hparams"),
        **dict.fromkeys(("metricname", "target", "name"), "metric metrics run_id"),
        **dict.fromkeys(("run", "id", "runname"), "run_id runs"),
        **dict.fromkeys(("runids", "ids", "runnames", "experiments"), "runs run_id"),
        **dict.fromkeys(("orderby", "order", "sortby"), "sort"),
        **dict.fromkeys(("xaxis", "axis", "against"), "x axis"),
        **dict.fromkeys(("type", "chart", "charttype", "plottype", "style"), "kind"),
        **dict.fromkeys(("smoothing", "ema"), "smooth"),
        **dict.fromkeys(("regex", "search", "match"), "pattern"),
        **dict.fromkeys(("left", "first", "baseline", "control"), "a"),
        **dict.fromkeys(("right", "second", "treatment"), "b"),
        **dict.fromkeys(("points", "resolution", "samples"), "max_points"),
        **dict.fromkeys(("fields", "select"), "columns"),
        **dict.fromkeys(("start", "stepmin", "from"), "x_min"),
        **dict.fromkeys(("end", "stop", "stepmax", "to"), "x_max"),
    },
}  # fmt: skip
"""For each argument: words without case and punctuation, and what each means here (the first of several that exists)."""


def nearest(name: str, known: Iterable[str], *, meaning: str = "", n: int = 3) -> list[str]:
    """Returns the known names most similar to ``name``, best first: by meaning, by spelling, then by containment.

    ``meaning``: the entry of `MEANINGS` that lists what other tools call these values.
    """
    names = list(known)
    name = name[:_MOST_CHARACTERS]
    meant = MEANINGS.get(meaning, {}).get(_folded(name), "").split()
    found = [word for word in meant if word in names][:1]
    similar = [*_beginning(name, names), *_similar(name, names, _folded, n), *_similar(name, names, _shortened, n)]
    return list(dict.fromkeys([*found, *similar]))[:n]


def _beginning(name: str, names: Iterable[str]) -> list[str]:
    """Returns names that begin with ``name`` as it is written, if it is long enough to mean one."""
    return [known for known in names if known.startswith(name)] if len(name) >= _LONG else []


def _similar(name: str, names: Iterable[str], form: Callable[[str], str], n: int) -> list[str]:
    """Returns names that are close to ``name`` in a form of their spelling, or contain it."""
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(form(candidate[:_MOST_CHARACTERS]), candidate)
    want = form(name)
    close = [folded[f] for f in difflib.get_close_matches(want, _likely(want, list(folded)), n=n, cutoff=_CUTOFF)]
    return close + [original for f, original in folded.items() if want and f and (want in f or f in want)]


def _likely(want: str, forms: list[str]) -> list[str]:
    """Returns the forms that share most letters and pairs of letters with the wanted one, if there are many."""
    if len(forms) <= _MOST_COMPARED:
        return forms
    own = _parts(want)

    def shared(form: str) -> float:
        parts = _parts(form)
        return len(own & parts) / (len(own) + len(parts) or 1)

    return sorted(forms, key=shared, reverse=True)[:_MOST_COMPARED]


def _parts(form: str) -> set[str]:
    return {*form, *map("".join, pairwise(form))}


def _folded(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _shortened(name: str) -> str:
    folded = _folded(name)
    for long, short in _SHORT_FORMS.items():
        folded = folded.replace(long, short)
    return folded
