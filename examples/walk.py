"""A walk through the demo sweep as a researcher takes it: which learning rate, is it real, what broke, what is new.

Writes the sweep to a temporary folder, asks, and prints the page `docs/walk.md`:

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
    """A question, the call that answers it, and what the researcher takes from the answer."""

    question: str
    call: tuple[str, ...]
    taken: str


WALK = (
    Stop(
        "Which learning rate? And what changed since yesterday?",
        ("overview",),
        "Six learning rates, two batch sizes, five to six seeds each; 0.03 leads in every metric. The weight decay always "
        "changed together with the learning rate, so whatever is said of one holds for the other. The last line is what is "
        "new since yesterday: the whole sweep, of which one run goes on and one failed.",
    ),
    Stop(
        "Is that real?",
        ("rank_runs", "metric=val/acc", "hparams=optim.lr"),
        "Yes: no other learning rate ties with 0.03, the runner-up is six parts in a thousand behind (p below 1 % against the "
        "range of all six), and the run whose config is broken was left out instead of being counted as a setting. "
        "The batch size was pooled on purpose; with it as part of the group, as in the overview, both sizes tie.",
    ),
    Stop(
        "What went wrong in the bad runs?",
        ("diagnose_runs",),
        "Four of the six runs with a learning rate of 0.3 blew up around step 310 or 410 and were NaN 30 steps later. Those "
        "with 0.1 and more overfit. One run stopped in the middle of a line.",
    ),
)


def page() -> str:
    """The walk as Markdown. Paths, times and versions, which differ from day to day, are written as words."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "demo"
        write_sweep(root, now=datetime.now(UTC))
        return "\n".join(_lines(root)) + "\n"


def _lines(root: Path) -> Iterator[str]:
    yield "# A walk through a sweep"
    yield ""
    yield "Written by `python examples/walk.py` over the sweep of `sweeplens demo`; a test compares it with what is answered today."
    for stop in WALK:
        tool, *values = stop.call
        answer = call_tool(tool, values, Settings((str(root),))).text
        shown = " ".join([tool, *(f"'{v}'" if re.search(r"[\s\"]", v) else v for v in values)])
        yield from ("", f"## {stop.question}", "", "```sh", f"sweeplens call {shown} --root demo", "```", "")
        yield from ("```text", _timeless(answer, root), "```", "", stop.taken)


def _timeless(text: str, root: Path) -> str:
    text = text.replace(str(root), "/experiments/demo").rstrip()
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r"data version \w+", "data version <version>", text)
    return re.sub(r'cursor="?[\w=-]{8,}"?', "cursor=<cursor>", text)


if __name__ == "__main__":
    print(page(), end="")
