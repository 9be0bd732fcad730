"""The command line. `run` is the console script `sweeplens`; `main` is the same as a function that returns the exit code."""

from sweeplens_mcp.cli.commands import main, run

__all__ = ["main", "run"]
