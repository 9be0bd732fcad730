"""The greeting of `sweeplens serve` at a terminal: what it is, what it serves, how to connect.

It goes to stderr, because stdout belongs to the protocol. A client that starts the server has no terminal and gets none.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from sweeplens.sources.given_roots import shown_root
from sweeplens_mcp.render.cells import clean

__all__ = ["greet_at_http", "greet_at_stdio"]


def greet_at_stdio(given: Sequence[str]) -> None:
    """Greets the user of a server over stdio that was started at a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    roots = [shown_root(root) for root in given]
    options = "".join(f" --root {shlex.quote(root)}" for root in roots)
    folders = " ".join(shlex.quote(root) for root in roots)
    _tell(
        f"sweeplens {version('sweeplens')}: an MCP server over stdio. {_serves(roots)}",
        "It waits for the messages of a client. Usually an editor starts it; to configure one:",
        f"    sweeplens config CLIENT{options} --write    (sweeplens config lists the clients)",
        "To ask without a client:",
        f"    sweeplens overview {folders}".rstrip(),
        "Ctrl-C ends it.",
    )


def greet_at_http(url: str, roots: Sequence[str], connecting: str) -> bool:
    """Greets the user of a server over HTTP: its address, and lines that connect clients. Returns whether there is a terminal."""
    if not sys.stderr.isatty():
        return False
    indented = [f"    {line}" for line in connecting.splitlines()]
    _tell(
        f"sweeplens {version('sweeplens')}: an MCP server at {url}",
        _serves(roots),
        "To connect:",
        *indented,
        "Ctrl-C ends it.",
    )
    return True


def _serves(roots: Sequence[str]) -> str:
    return (
        f"It serves {', '.join(map(_shown_root, roots))}."
        if roots
        else "It serves the folders that are configured (ANALYSIS_EXPERIMENT_DIR)."
    )


def _shown_root(root: str) -> str:
    missing = "://" not in root and not Path(root).expanduser().exists()
    return f"{root} (no such folder now: each question will say so)" if missing else shown_root(root)


def _tell(*lines: str) -> None:
    print(*(clean(line) for line in lines), sep="\n", file=sys.stderr, flush=True)
