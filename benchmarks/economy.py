"""The questions of the documented walk, asked by our tools and by an assistant that writes its own Polars: calls, characters.

The rival's scripts are in `benchmarks/economy/`, as an assistant with a shell writes them: one look at the folder, one script
that loads it, one for each question. Counted are the characters that such an assistant writes and reads: script and output
there, arguments and text answer here.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from sweeplens.demo_data import write_sweep
from sweeplens_mcp.cli.call import call_tool
from sweeplens_mcp.settings import Settings

HERE = Path(__file__).parent


def main() -> None:
    """Print both counts and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "demo"
        write_sweep(root, now=datetime.now(UTC))
        rival, ours = _rival(root), _ours(root)
    print(
        "## Economy\n\n`python benchmarks/economy.py`: the questions of `docs/walk.md` over the demo sweep, asked by our tools"
    )
    print("and by an assistant that writes its own Polars (`benchmarks/economy/`); script and output are counted.\n")
    print("| what | own Polars | sweeplens | ratio | target | met |\n|---|---|---|---|---|---|")
    for what, theirs, own in (("calls", len(rival), len(ours)), ("characters", sum(rival), sum(ours))):
        ratio = own / theirs
        print(f"| {what} | {theirs:,} | {own:,} | {ratio:.2f} | 0.50 | {'yes' if ratio <= 0.5 else '**no**'} |")


def _rival(root: Path) -> list[int]:
    """Characters of each script and what it prints, run in the folder of the sweep."""
    counts: list[int] = []
    for script in sorted((HERE / "economy").iterdir()):
        command = ["sh", str(script)] if script.suffix == ".sh" else [sys.executable, str(script)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, encoding="utf-8")
        counts.append(len(script.read_text(encoding="utf-8")) + len(done.stdout))
    return counts


def _ours(root: Path) -> list[int]:
    counts: list[int] = []
    for stop in _walk().WALK:
        tool, *values = stop.call
        counts.append(len(" ".join(stop.call)) + len(call_tool(tool, values, Settings((str(root),))).text))
    return counts


def _walk() -> ModuleType:
    """`examples/walk.py`, which is no package."""
    path = HERE.parent / "examples" / "walk.py"
    spec = importlib.util.spec_from_file_location("walk", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["walk"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
