"""`docs/walk.md` is what `examples/walk.py` prints today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REMAKE = "python examples/walk.py > docs/walk.md"


@pytest.fixture(scope="module")
def page() -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "walk.py")],
        capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_documented_walk_is_what_is_answered_today(page: str) -> None:
    written = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    assert page == written, f"{REMAKE} writes it anew; read what changed before committing."
