"""The command line. `main` is the console script `sweeplens`."""

from sweeplens_mcp.cli.commands import main

__all__ = ["main"]
