"""What every trial of a client gets: a project as the configuration files presume it, our command, our address, an empty home.

Place           the project, and how to run a command in it
check_found     what one of the scripts printed: it must know all of our tools, and have read every answer
BrokenError     a client stumbled; the text says over what
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.npm import NODE, binary, installed
from tests.support.sweep import write_sweep

from sweeplens_mcp.tools import PAGE_TOOLS, TOOLS

__all__ = ["CONFIGS", "SCRIPTS", "BrokenError", "Place", "check_found", "check_tools", "make_project"]

SCRIPTS = Path(__file__).parent / "scripts"
CONFIGS = Path(__file__).parents[2] / "editor-configs"
_SAMPLE_PROJECT = "/home/you/project"
_SHOWN = 500


class BrokenError(Exception):
    """A client did not get what it asked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """``project`` holds `.venv/bin/sweeplens` and `experiments`; ``url`` is a server over HTTP on the same runs."""

    project: Path
    home: Path
    url: str

    @property
    def command(self) -> list[str]:
        """Our server over stdio."""
        script = self.project / ".venv" / "bin" / "sweeplens"
        return [str(script), "serve", "--root", str(self.project / "experiments")]

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the user's settings, and Node 24 before any other."""
        node = binary(installed("node", (NODE,)), "node").parent
        folders = {f"XDG_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CONFIG", "DATA", "CACHE", "STATE")}
        path = os.pathsep.join((str(node), os.environ["PATH"]))
        return {
            "PATH": path,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "ANALYSIS_CACHE": "memory",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            **folders,
        }

    def run(self, command: Sequence[object], *, errors: bool = False, seconds: float = 120) -> str:
        """What a command prints, with ``errors`` on stderr too, run in the project. Raises BrokenError where it fails."""
        given = [str(part) for part in command]
        try:
            done = subprocess.run(
                given, cwd=self.project, env=self.environment, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BrokenError(f"{Path(given[0]).name} did not end within {seconds:.0f} s") from error
        if done.returncode:
            raise BrokenError(f"exit code {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-_SHOWN:]}")
        return done.stdout + done.stderr if errors else done.stdout

    def configure(self, client: str, file: str, where: Path) -> None:
        """Put a file of `editor-configs/` where its client looks, our paths in the place of the sample's."""
        text = (CONFIGS / client / file).read_text(encoding="utf-8").replace(_SAMPLE_PROJECT, str(self.project))
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text, encoding="utf-8")


def make_project(folder: Path) -> Path:
    """A project with this installation's command in `.venv` and a small sweep in `experiments`."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "sweeplens").symlink_to(Path(sys.executable).absolute().with_name("sweeplens"))
    write_sweep(folder / "experiments")
    return folder


def check_tools(names: Sequence[str]) -> None:
    """Raise BrokenError unless these are all of our tools."""
    ours = [tool.name for tool in (*TOOLS, *PAGE_TOOLS)]
    if sorted(names) != sorted(ours):
        raise BrokenError(f"it knows the tools {sorted(names)}, not {sorted(ours)}")


def check_found(printed: str) -> None:
    """Raise BrokenError unless a script found all tools and every answer that it asked for."""
    found = json.loads(printed.strip().splitlines()[-1])
    check_tools(found.pop("tools"))
    empty = [name for name, value in found.items() if not value]
    if empty:
        raise BrokenError(f"it found nothing for {', '.join(empty)}")
