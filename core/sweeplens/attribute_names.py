"""The message for an attribute of `ExperimentDB` that does not exist: the methods that were probably meant."""

from __future__ import annotations

from sweeplens.near_names import nearest

__all__ = ["no_attribute"]

_MEANT = {
    "ls": "list_runs",
    "runs": "list_runs",
    "list": "list_runs",
    "table": "runs_df",
    "df": "runs_df",
    "dataframe": "runs_df",
    "show": "get_run",
    "run": "get_run",
    "get": "get_run",
    "metrics": "list_metrics",
    "news": "whats_new",
    "sql": "query_sql",
    "query": "query_sql",
    "points": "query_metrics",
    "history": "query_metrics",
    "chart": "plot",
    "load": "load_experiments",
    "reload": "refresh",
}
"""Commands and usual words, with the methods that are meant."""


def no_attribute(owner: type, name: str) -> str:
    """Returns the message: ``ExperimentDB has no attribute 'show'. Nearest: get_run. dir(db) lists all.``"""
    known = [attribute for attribute in dir(owner) if not attribute.startswith("_")]
    meant = [method for method in (_MEANT.get(name.lower()),) if method in known]
    near = list(dict.fromkeys([*meant, *nearest(name, known)]))[:3]
    offer = f" Nearest: {', '.join(near)}." if near else ""
    return f"{owner.__name__} has no attribute {name!r}.{offer} dir(db) lists all."
