"""`python -m sweeplens_mcp` is `sweeplens`."""

from sweeplens_mcp.cli.commands import run

run()
