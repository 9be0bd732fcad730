"""Packages of npm for tests, in folders below `build/` that git ignores; Node itself is one of them.

installed(name, packages)    -> the folder of node_modules, installed once; NotInstalledError says why it cannot be
NODE                         Node 24 as npm packs it: the suite and the newest clients need 22 or newer
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["NODE", "NotInstalledError", "binary", "installed"]

NODE = "node@24"
_FOLDER = Path(__file__).parents[2] / "build" / "npm"
_LAST_LINES = 3


class NotInstalledError(Exception):
    """Something from outside cannot be had here; the text says why."""


def installed(name: str, packages: Sequence[str], *, seconds: float = 600) -> Path:
    """The `node_modules` that holds these packages, each with its version. Raises NotInstalledError."""
    folder = _FOLDER / name
    stamp, wanted = folder / "installed.json", json.dumps(sorted(packages))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return folder / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalledError("npm is not on the path")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    _run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *packages], folder, seconds)
    stamp.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


def binary(modules: Path, name: str) -> Path:
    """A command that a package brought."""
    return modules / ".bin" / name


def _run(command: Sequence[str], folder: Path, seconds: float) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalledError(f"npm did not end within {seconds:.0f} s") from error
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NotInstalledError("npm failed: " + " | ".join(said[:_LAST_LINES])[:300])
