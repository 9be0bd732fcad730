"""`sweeplens show PATH`: a run by the path of its folder, which a shell completes, instead of its id and the folder above.

with_run_id(options)       puts the run's id in the place of its path
several_runs(...)          the error for a folder of several runs in the place of one
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from sweeplens.errors import InputError
from sweeplens.sources.given_roots import is_address

__all__ = ["several_runs", "with_run_id"]


def with_run_id(options: argparse.Namespace) -> None:
    """Puts the id of the run below the roots in the place of a folder's path; without roots the folder itself is one."""
    typed: str = options.run_id
    if not Path(typed).is_dir():
        return
    given: list[str] = [*options.folders, *options.root]
    path = Path(typed).resolve()
    below = _below(path, given or _configured())
    if below:
        options.run_id = below
    elif not given:
        options.folders, options.run_id = [typed], path.name
        options.run_folder = typed


def several_runs(folder: str) -> InputError:
    """Returns the error for a folder that is not the folder of one run."""
    shown = shlex.quote(folder)
    return InputError(
        f"{folder!r} is a folder of runs, and one run is needed before it: sweeplens show RUN {shown}; "
        f"sweeplens ls {shown} lists the runs."
    )


def _below(path: Path, roots: Sequence[str]) -> str:
    """Returns a path relative to the root that contains it; empty if none does."""
    for root in roots:
        above = Path() if is_address(root) else Path(root).expanduser().resolve()
        if path != above and path.is_relative_to(above) and not is_address(root):
            return path.relative_to(above).as_posix()
    return ""


def _configured() -> list[str]:
    from sweeplens.config import AnalysisConfig

    config = AnalysisConfig()
    return [root for root in (str(config.experiment_dir), *map(str, config.roots)) if Path(root).is_dir()]
