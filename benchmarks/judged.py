"""Open questions over two sweeps with planted truths, by our tools and by scripts in Polars: facts shown, calls, characters.

A small form of a judged comparison: `judged/sweeps.py` plants, `judged/truth.md` tells, `judged/questions.py` asks. A fact counts
as shown if its pattern is found in what the calls or the script returned, so nobody's taste decides; how well an answer reads is
not measured. Loading the folder is one script for each sweep, and counted once.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from sweeplens_mcp.cli.call import call_tool
from sweeplens_mcp.settings import Settings

HERE = Path(__file__).parent / "judged"


def main() -> None:
    """Prints one row a question, and the sums."""
    sweeps, questions = _module("sweeps"), _module("questions")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sweeps.write_sweeps(root)
        rows = [_row(q, root / q.sweep, questions.LOAD) for q in questions.QUESTIONS]
    print(
        "| question | facts by tools | by scripts | calls | scripts | characters by tools | by scripts | tools do not show |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    whole = 2 * len(questions.LOAD)
    print(f"| loading both folders | | | | 2 | | {whole} | |")
    total = [sum(int(str(r[i]).split("/")[0]) for r in rows) for i in range(1, 7)]
    total[3], total[5] = total[3] + 2, total[5] + whole
    print(f"| **all** | {' | '.join(map(str, total))} | |")


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"judged_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _row(question: Any, root: Path, load: str) -> tuple[object, ...]:
    texts = [call_tool(c[0], list(c[1:]), Settings((str(root),))).text for c in question.calls]
    script = load + question.script
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    ours, theirs = "\n".join(texts), done.stdout
    facts: dict[str, str] = question.facts
    shown = [name for name, pattern in facts.items() if re.search(pattern, ours)]
    rival = [name for name, pattern in facts.items() if re.search(pattern, theirs)]
    asked = sum(len(" ".join(c)) for c in question.calls)
    lacking = "; ".join(name for name in facts if name not in shown)
    return (
        question.text, f"{len(shown)}/{len(facts)}", f"{len(rival)}/{len(facts)}", len(texts), 1,
        asked + len(ours), len(question.script) + len(theirs), lacking,
    )  # fmt: skip


if __name__ == "__main__":
    main()
