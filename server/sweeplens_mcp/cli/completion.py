"""Completion for bash, zsh and fish: commands, options, and the run ids, metrics and hyperparameters of the folders.

    script(shell)        the script for the shell: `eval "$(sweeplens completion bash)"`
    candidates(words)    the words that may replace the last one; the shells call it by `sweeplens __complete`

Names come from the folders that are typed, else from the configured ones (by default ./experiments), else from the one folder of
runs in or below the current folder. Folders that cannot be read, or not in time, give no candidates: a shell has no place for an
error.
"""

from __future__ import annotations

import argparse
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeplens.errors import SweeplensError
from sweeplens.sources.given_roots import is_root
from sweeplens.sources.log_names import looks_like_log
from sweeplens_mcp.cli.question_names import QUESTIONS, QuestionCommand

if TYPE_CHECKING:
    from sweeplens.experiment_db import ExperimentDB

__all__ = ["candidates", "script"]

_OTHERS = ("call", "plot", "report", "serve", "ingest", "doctor", "demo", "config", "completion")
_KINDS = ("curves", "ranking", "comparison", "scatter", "parallel", "heatmap", "importance", "timeline")
_FOLDERS = ("--root", "-o", "--output")  # the shell completes paths
_MOST = 500
_MOST_LOOKED_AT = 200  # entries of a folder
_SECONDS = 8.0

_BASH = """\
_sweeplens() {
    local word="${COMP_WORDS[COMP_CWORD]}" line
    COMPREPLY=()
    while IFS= read -r line; do
        [ -n "$line" ] && COMPREPLY+=("$(printf '%q' "$line")")
    done < <(sweeplens __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [ ${#COMPREPLY[@]} -eq 0 ]; then compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); fi
}
complete -F _sweeplens sweeplens
"""
_ZSH = """\
#compdef sweeplens
_sweeplens() {
    local -a found
    found=("${(@f)$(sweeplens __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -- $found; else _files; fi
}
compdef _sweeplens sweeplens
"""
_FISH = """\
function __sweeplens_complete
    set -l words (commandline -opc) (commandline -ct)
    sweeplens __complete $words[2..-1] 2>/dev/null
end
complete -c sweeplens -a '(__sweeplens_complete)'
"""


def script(shell: str) -> str:
    """Returns the completion script of a shell."""
    return {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[shell]


def candidates(words: Sequence[str]) -> list[str]:
    """Returns the words that may replace the last one, which may be empty or incomplete."""
    *before, last = words or [""]
    fitting = _all_candidates(before, last)
    return [word for word in fitting if word.startswith(last)][:_MOST]


def _all_candidates(before: Sequence[str], last: str) -> Sequence[str]:
    if not before:
        return [*(question.name for question in QUESTIONS), *_OTHERS]
    question = next((q for q in QUESTIONS if q.name == before[0]), None)
    if question is None:
        return _of_other_command(before, last)
    if last.startswith("-"):
        from sweeplens_mcp.cli.questions import question_parser

        return _options(question_parser(question))
    previous = before[-1] if len(before) > 1 else ""
    if previous in _FOLDERS:
        return []
    return _values(question, previous, before)


def _of_other_command(before: Sequence[str], last: str) -> Sequence[str]:
    if before[0] == "completion":
        return ("bash", "zsh", "fish")
    if before[0] == "plot":
        return _of_plot(before, last)
    if before == ["config"]:
        from sweeplens_mcp.cli.clients import CLIENTS

        return [client.name for client in CLIENTS]
    if before[0] == "call":
        return [question.tool for question in QUESTIONS] if before == ["call"] else _arguments(before)
    return []


def _of_plot(before: Sequence[str], last: str) -> Sequence[str]:
    if last.startswith("-"):
        from sweeplens_mcp.cli.plot import plot_parser

        return _options(plot_parser())
    if before[-1].startswith("--"):
        return _names(before[-1][2:].replace("-", "_"), before)
    return _KINDS if before == ["plot"] else []


def _arguments(before: Sequence[str]) -> Sequence[str]:
    """Returns the arguments of a tool that are not typed yet, as ``name=``."""
    from sweeplens_mcp.cli.call import arguments_of

    typed = {word.partition("=")[0] for word in before[2:]}
    return [f"{name}=" for name in arguments_of(before[1]) if name not in typed] + ["--root", "--json"]


def _options(parser: argparse.ArgumentParser) -> Sequence[str]:
    actions = parser._actions  # pyright: ignore[reportPrivateUsage]
    return [option for action in actions for option in action.option_strings if option.startswith("--")]


def _values(question: QuestionCommand, previous: str, before: Sequence[str]) -> Sequence[str]:
    """Returns values of an option, or of the next positional argument."""
    if previous.startswith("--"):
        name = previous[2:].replace("-", "_")
        if name == "format":
            return ("table", "text", "csv", "json", "md")
    else:
        n_given = sum(not word.startswith("-") for word in before[1:])
        name = question.positionals[n_given] if n_given < len(question.positionals) else ""
    return _names(name, before)


def _names(argument: str, before: Sequence[str]) -> Sequence[str]:
    """Returns names from the folders for an argument of this name."""
    if argument in ("run_id", "runs", "a", "b"):
        return _looked_up(before, lambda db: db.runs_df["run_id"].to_list())
    if argument in ("metric", "metrics"):
        return _looked_up(before, lambda db: sorted(db.series_df["metric"].unique().to_list()))
    if argument in ("hparam", "hparams"):
        return _looked_up(before, _hparams)
    if argument in ("columns", "sort"):
        return _looked_up(before, lambda db: db.runs_df.columns)
    return {"goal": ("higher", "lower"), "by": ("group", "run"), "reduce": ("last", "best", "min", "max", "mean")}.get(
        argument, ()
    )


def _hparams(database: ExperimentDB) -> list[str]:
    from sweeplens.frames.schemas import hparam_columns

    return hparam_columns(database.runs_df)


def _looked_up(before: Sequence[str], query: Callable[[ExperimentDB], list[str]]) -> Sequence[str]:
    """Returns names from the first folders that can be opened; from a folder that was not named only if it is read in time."""
    typed = tuple(word for word in before[1:] if is_root(word))
    found = _read(typed, query)
    if typed or found is not None:
        return found or []
    folder = _folder_of_runs(Path())
    if folder is None:
        return []
    late: list[str] = []
    reading = threading.Thread(target=lambda: late.extend(_read((str(folder),), query) or ()), daemon=True)
    reading.start()
    reading.join(_SECONDS)
    return [] if reading.is_alive() else late


def _folder_of_runs(here: Path) -> Path | None:
    """Returns this folder if folders in it hold logs, else the only folder in it of which that is true; None if it is not clear."""
    if _holds_runs(here):
        return here
    below = [folder for folder in _folders_in(here) if _holds_runs(folder)]
    return below[0] if len(below) == 1 else None


def _holds_runs(folder: Path) -> bool:
    """Returns whether most folders in a folder have a log: one folder a run. Only names are looked at."""
    inside = _folders_in(folder)
    with_logs = sum(any(looks_like_log(entry.name) for entry in _entries(run)) for run in inside)
    return with_logs * 2 > len(inside)


def _folders_in(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if not entry.name.startswith(".") and entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(itertools.islice(folder.iterdir(), _MOST_LOOKED_AT))
    except OSError:
        return []  # completion offers nothing from it


def _read(roots: tuple[str, ...], query: Callable[[ExperimentDB], list[str]]) -> list[str] | None:
    """Returns the names in these folders; None if they cannot be opened."""
    from sweeplens_mcp.execution.opening import open_database
    from sweeplens_mcp.settings import Settings

    try:
        return query(open_database(Settings(roots)))
    except SweeplensError:
        return None
