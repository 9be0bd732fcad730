"""`python -m sweeplens_mcp` is `sweeplens`."""

import sys

from sweeplens_mcp.cli.commands import main

sys.exit(main())
