"""`sweeplens config CLIENT`: prints or writes the configuration of a client, with the absolute paths of this installation."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from sweeplens.errors import SweeplensError
from sweeplens_mcp.cli.client_files import FileChange, planned, rendered, write
from sweeplens_mcp.cli.clients import CLIENTS, Client, LaunchCommand, client_named
from sweeplens_mcp.cli.parsing import SentenceParser

__all__ = ["launch_here", "main"]

_UV_CACHE = re.compile(r"[/\\]uv[/\\](?:cache[/\\])?archive-v\d+[/\\]")


def launch_here(roots: Sequence[str]) -> LaunchCommand:
    """Returns the command of this installation's server on these folders. Raises RootError for a missing folder."""
    from sweeplens.config import AnalysisConfig

    config = AnalysisConfig()
    folders = [_checked(root) for root in roots or (config.experiment_dir, *config.roots)]
    serve = ("serve", *(part for folder in folders for part in ("--root", folder)))
    script = Path(sys.executable).absolute().with_name("sweeplens.exe" if os.name == "nt" else "sweeplens")
    if script.is_file():
        return LaunchCommand(str(script), serve)
    return LaunchCommand(str(Path(sys.executable).absolute()), ("-m", "sweeplens_mcp", *serve))


def _checked(root: str) -> str:
    """Returns a root as a client's configuration holds it: an absolute path, or an address without a password."""
    from sweeplens.sources.given_roots import given_root

    return given_root(root).shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a client's configuration, or writes it. Exit code 0, or 2 with a sentence on stderr."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if options.file and not (options.write or options.dry_run):
        parser.error(
            f"--file {options.file} changes nothing by itself: add --write, or --dry-run to see what would change"
        )
    if not options.client:
        print("\n".join(f"{c.name:<15} {c.title:<22} {c.path}" for c in CLIENTS))
        print("To connect one: sweeplens config CLIENT DIR --write", file=sys.stderr)
        return 0
    try:
        client = client_named(options.client)
        launch = launch_here((*options.folders, *options.root))
        if _UV_CACHE.search(launch.command):
            print(
                f"{launch.command} lies in uv's cache, which may be emptied: `uv tool install` keeps the command.",
                file=sys.stderr,
            )
        path = Path(os.path.expandvars(options.file)).expanduser() if options.file else client.path
        change = planned(client, launch, path) if options.dry_run or options.write else None
        if options.dry_run and change:
            print(change.diff() or f"{path} would not change\n", end="")
            print(_replaced(change, client, launch, options), end="", file=sys.stderr)
            print(_elsewhere(client, path, (*options.folders, *options.root)), end="", file=sys.stderr)
            return 0
        if options.write and change:
            print(write(client, launch, path))
            print(_replaced(change, client, launch, options), end="", file=sys.stderr)
            print(_elsewhere(client, path, (*options.folders, *options.root)), end="", file=sys.stderr)
            return 0
    except (SweeplensError, OSError) as error:
        print(f"sweeplens: {error}", file=sys.stderr)
        return 2
    print(f"{client.title}: {client.path}{f' ({client.note})' if client.note else ''}", file=sys.stderr)
    print(_elsewhere(client, path, (*options.folders, *options.root)), end="", file=sys.stderr)
    print(rendered(client, launch), end="")
    return 0


def _replaced(change: FileChange, client: Client, launch: LaunchCommand, options: argparse.Namespace) -> str:
    """Returns a line on folders that an existing entry served and that are not served now, with the command for all; or nothing."""
    now = [after for word, after in pairwise(launch.args) if word == "--root"]
    lost = [folder for folder in change.served if folder not in now]
    if not lost:
        return ""
    file = ["--file", options.file] if options.file else []
    both = " ".join(map(shlex.quote, ["sweeplens", "config", client.name, *lost, *now, "--write", *file]))
    verb = "would be replaced" if options.dry_run else "was replaced"
    return f"The entry {verb}: it served {', '.join(lost)}, and now {', '.join(now)}. For all: {both}\n"


def _elsewhere(client: Client, path: Path, folders: Sequence[str]) -> str:
    """Returns a line with the command for all projects of a person; empty where the file is no project's, or was named."""
    if not client.user_path or path != client.path:
        return ""
    words = " ".join(map(shlex.quote, (client.name, *folders)))
    file = (
        client.user_path
        if client.user_path.startswith("~") and " " not in client.user_path
        else f'"{client.user_path}"'
    )
    return f"This file is for one project. For all: sweeplens config {words} --write --file {file}\n"


def _parser() -> argparse.ArgumentParser:
    parser = SentenceParser(
        prog="sweeplens config",
        description="Print or write a client's configuration with absolute paths. Without a client: list those known.",
    )
    parser.add_argument("client", nargs="?", metavar="CLIENT", help="vscode, cursor, claude-desktop, ...")
    parser.add_argument(
        "folders", nargs="*", metavar="DIR", help="folders of experiments (default: the configured ones)"
    )
    parser.add_argument("--root", action="append", default=[], metavar="DIR", help="a folder of experiments, as DIR")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write it where the client looks; the rest of the file stays, and a backup is made",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what --write would change, and write nothing")
    parser.add_argument("--file", default="", metavar="PATH", help="with --write: into this file instead")
    return parser
