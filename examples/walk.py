"""Answers a researcher's questions about the demo sweep: the best learning rate, its significance, failures, news.

Writes the sweep to a temporary folder, calls the tools, and prints the page `docs/walk.md`:

    python examples/walk.py > docs/walk.md
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sweeplens.demo_data import write_sweep
from sweeplens_mcp.cli.call import call_tool
from sweeplens_mcp.settings import Settings


@dataclass(frozen=True, slots=True)
class Stop:
    """A question, the call that answers it, and the researcher's conclusion."""

    question: str
    call: tuple[str, ...]
    taken: str


WALK = (
    Stop(
        "Which learning rate? And what changed since yesterday?",
        ("overview",),
        "The sweep has six learning rates and two batch sizes, with five or six seeds each; 0.03 leads in every metric. "
        "Weight decay and learning rate are perfectly confounded, so their effects cannot be separated. "
        "The news since yesterday is near the end: "
        "the whole sweep began, one run is still running, one failed. The last lines are the next three calls.",
    ),
    Stop(
        "Is that real?",
        ("rank_runs", "metric=val/acc", "hparams=optim.lr"),
        "So far, 0.03 is first under every analysis choice. The second is 0.006 behind, which is more than chance (p below 1 %, "
        "corrected for all six). A run is still running, so the limit is stricter: tests after each new seed would find a "
        "difference by chance too often. Four of six runs with 0.3 are broken, and the run with a broken config was left out.",
    ),
    Stop(
        "What went wrong in the bad runs?",
        ("diagnose_runs",),
        "Four of the six runs with a learning rate of 0.3 diverged around step 310 or 410 and were NaN 30 steps later. "
        "Eight runs with 0.1 or more overfit. One run stopped in the middle of a line.",
    ),
)


def page() -> str:
    """Returns the walk as Markdown. Paths, times and versions change between runs and are replaced by words."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "demo"
        write_sweep(root, now=datetime.now(UTC))
        return "\n".join(_lines(root)) + "\n"


def _lines(root: Path) -> Iterator[str]:
    yield "# A walk through a sweep"
    yield ""
    yield "Written by `python examples/walk.py` over the sweep of `sweeplens demo`; a test compares it with today's answers."
    for stop in WALK:
        tool, *values = stop.call
        answer = call_tool(tool, values, Settings((str(root),))).text
        shown = " ".join([tool, *(f"'{v}'" if re.search(r"[\s\"]", v) else v for v in values)])
        yield from ("", f"## {stop.question}", "", "```sh", f"sweeplens call {shown} --root sweep", "```", "")
        yield from ("```text", _timeless(answer, root), "```", "", stop.taken)


def _timeless(text: str, root: Path) -> str:
    text = text.replace(str(root), "/experiments/demo").rstrip()
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r"data version \w+", "data version <version>", text)
    return re.sub(r'cursor="?[\w=-]{8,}"?', "cursor=<cursor>", text)


if __name__ == "__main__":
    print(page(), end="")
