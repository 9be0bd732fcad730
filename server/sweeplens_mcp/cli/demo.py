"""`sweeplens demo`: a sweep is written, the server is started over stdio, and a client asks what a researcher would ask.

Nothing is staged: the client is the SDK's own, the server a child process like one that an editor starts, and what is
printed is the text that came back, whole. `QUESTIONS` is the whole script.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from sweeplens.counting import count_of
from sweeplens.demo_data import grow, write_sweep
from sweeplens.errors import SweeplensError

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult

__all__ = ["QUESTIONS", "DemoQuestion", "main"]

_FRESH_SECONDS = 2.1  # an answer rests on files as they were at most 2 s before


class DemoQuestion(Struct, frozen=True):
    """What a researcher asks, and the call that a client makes of it."""

    words: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    training_goes_on: bool = False  # the live run logs some more steps before this is asked


QUESTIONS: tuple[DemoQuestion, ...] = (
    DemoQuestion("What is in this folder?", "overview"),
    DemoQuestion("What did I vary, and which of it cannot be told apart?", "find_varying_hparams"),
    DemoQuestion("Which runs did not finish?", "list_runs", {"where": "status <> 'finished'", "columns": ["optim.lr"]}),
    DemoQuestion("What broke?", "diagnose_runs"),
    DemoQuestion(
        "Does the learning rate matter for the final accuracy?",
        "summarize_by_hparams",
        {"hparams": ["optim.lr"], "metrics": ["val/acc"], "where": "status = 'finished'"},
    ),
    DemoQuestion(
        "And the batch size?",
        "summarize_by_hparams",
        {"hparams": ["data.batch_size"], "metrics": ["val/acc"], "where": "\"optim.lr\" < 0.3 AND status = 'finished'"},
    ),
    DemoQuestion("Which setting is best, and is that more than luck?", "rank_runs", {"metric": "val/acc"}),
    DemoQuestion(
        "Is 0.03 really better than 0.01?",
        "compare_runs",
        {"a": '"optim.lr" = 0.03', "b": '"optim.lr" = 0.01', "metrics": ["val/acc"]},
    ),
    DemoQuestion(
        "Which single runs are above 93.5 %?",
        "list_runs",
        {"where": '"val/acc.last" > 0.935', "columns": ["optim.lr", "val/acc.last"], "sort": "-val/acc.last"},
    ),
    DemoQuestion("What happened to lr0.3_bs64_s0?", "get_run", {"run_id": "lr0.3_bs64_s0"}),
    DemoQuestion(
        "Show its loss beside that of its healthy sibling.",
        "query_metrics",
        {"metrics": ["train/loss"], "runs": ["lr0.3_bs64_s0", "lr0.3_bs64_s2"], "max_points": 12},
    ),
    DemoQuestion(
        "How far is the live run now?",
        "query_metrics",
        {"metrics": ["train/loss"], "runs": ["lr0.03_bs64_s5"], "x_min": 560},
        training_goes_on=True,
    ),
    DemoQuestion("And val_acc by learning rate? (no such metric)", "summarize_by_hparams", {"metrics": ["val_acc"]}),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the sweep and, by default, asks questions about it. Exit code 0, or 2 with a sentence on stderr."""
    options = _parser().parse_args(arguments)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="sweeplens-demo-")).resolve()
    try:
        planned = write_sweep(folder, now=datetime.now(UTC))
    except (SweeplensError, OSError) as error:
        print(f"sweeplens: {error}", file=sys.stderr)
        return 2
    print(f"Wrote a sweep of {count_of(len(planned), 'run')} to {folder}")
    if options.write_only:
        return 0
    import anyio

    return anyio.run(_ask_everything, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweeplens demo", description="Write a small sweep and show a client asking about it."
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="a new or empty folder; default: a temporary one")
    parser.add_argument("--write-only", action="store_true", help="write the sweep and ask nothing")
    return parser


async def _ask_everything(folder: Path) -> int:
    import anyio
    from mcp import Client, StdioServerParameters

    serve = ["-m", "sweeplens_mcp", "serve", "--root", str(folder)]
    print(f"Started: {Path(sys.executable).name} {' '.join(serve)}\n")
    async with Client(StdioServerParameters(command=sys.executable, args=serve)) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        asked = [q for q in QUESTIONS if q.tool in listed]
        for number, question in enumerate(asked, start=1):
            await _ask(client, f"[{number}/{len(asked)}]", question, folder)
    print(f"Report of this sweep, for any browser: {await anyio.to_thread.run_sync(_report, folder)}")
    print(f"Connect an editor: sweeplens config vscode {folder} --write   (`sweeplens config` names the others)")
    return 0


def _report(folder: Path) -> Path:
    from sweeplens import AnalysisConfig, ExperimentDB

    return ExperimentDB(AnalysisConfig(), base_path=folder).report(folder / "report.html")


async def _ask(client: Client, number: str, question: DemoQuestion, folder: Path) -> None:
    if question.training_goes_on:
        import anyio

        print(f"... meanwhile the live run logs on, to step {grow(folder)}\n")
        await anyio.sleep(_FRESH_SECONDS)
    began = time.perf_counter()
    result = await client.call_tool(question.tool, dict(question.arguments))
    took = time.perf_counter() - began
    print("\n".join(_shown(number, question, result, took)))


def _shown(number: str, question: DemoQuestion, result: CallToolResult, seconds: float) -> Iterator[str]:
    """Returns the question and the answer, with its size in each channel."""
    text = "\n".join(block.text for block in result.content if block.type == "text")
    structured = len(json.dumps(result.structured_content).encode()) if result.structured_content else 0
    yield f"{number} {question.words}"
    yield f"  -> {question.tool}({', '.join(f'{k}={v!r}' for k, v in question.arguments.items())})"
    sizes = f"{len(text.encode())} bytes of text, {structured} structured"
    yield f"  <- {'error, ' if result.is_error else ''}{sizes}, {seconds * 1000:.0f} ms"
    yield from (f"  | {line}".rstrip() for line in text.splitlines())
    yield ""
