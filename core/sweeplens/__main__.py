"""`python -m sweeplens` is `sweeplens`: the command line, which is installed with the library."""

import runpy

runpy.run_module("sweeplens_mcp", run_name="__main__")
