"""Runs the checks of this folder; says in one line why where there is no browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def main() -> int:
    """The exit code of pytest; 0 where there is nothing to run them with."""
    sys.path.insert(0, str(HERE.parent))
    from browser.chromium import NoBrowserError, chromium_path

    try:
        print(f"Browser: {chromium_path()}")
    except NoBrowserError as error:
        print(f"No browser checks: {error}")
        return 0
    return int(pytest.main([str(HERE), "-o", "python_files=check_*.py", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
