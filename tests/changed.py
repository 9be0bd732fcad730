"""Run the tests of what changed: `python -m tests.changed [BASE]` compares with BASE (default: the branch `main`).

A changed test file runs itself. A changed source file runs the tests of its folder, by the table `AREAS`. Files outside of the
table (documentation, editor configurations) run the tests in `tests/docs`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

AREAS: tuple[tuple[str, tuple[str, ...]], ...] = (  # the first prefix that fits: which tests to run
    ("core/sweeplens/readers/json/", ("core/test_json_*.py", "core/test_native.py", "core/test_readers_unseen.py")),
    ("core/sweeplens/native/", ("core/test_json_*.py", "core/test_native.py")),
    ("core/sweeplens/readers/", ("core/test_readers_*.py", "docs/test_formats_page.py")),
    ("core/sweeplens/sources/", ("core/test_incremental.py", "core/test_bad_input.py")),
    ("core/sweeplens/ingest/", ("core/test_incremental.py", "core/test_bad_input.py")),
    ("core/sweeplens/engines/", ("core/test_engine*.py", "core/test_reduction.py", "core/test_curves.py", "server/test_engine.py")),
    ("core/sweeplens/store/", ("core/test_store*.py", "core/test_incremental.py")),
    ("core/sweeplens/sql/", ("core/test_sql.py",)),
    ("core/sweeplens/analyses/triage/", ("core/test_triage.py", "core/test_news.py", "core/test_overview.py")),
    ("core/sweeplens/analyses/", ("core/test_ranking.py", "core/test_comparison.py", "core/test_effects.py",
                                  "core/test_statistics.py", "core/test_overview.py", "docs/test_walk.py")),
    ("core/sweeplens/charts/", ("core/test_chart*.py",)),
    ("core/sweeplens/", ("core/test_library.py", "core/test_imports.py", "core/test_names.py", "core/test_samples.py",
                           "core/test_listing.py")),
    ("server/sweeplens_mcp/cli/", ("server/test_cli.py", "server/test_config_command.py", "server/test_doctor.py")),
    ("server/sweeplens_mcp/http/", ("server/test_access.py", "server/test_lab.py", "server/test_tokens_over_http.py")),
    ("server/sweeplens_mcp/execution/", ("server/test_workers.py", "server/test_worker_pool.py", "server/test_cursors.py")),
    ("server/sweeplens_mcp/", ("server/test_tools.py", "server/test_schemas.py", "server/test_text.py", "server/test_budget.py",
                               "docs/test_tools_page.py")),
)  # fmt: skip


def changed_files(base: str) -> list[str]:
    """Paths that differ from a revision, committed or not, relative to the project."""
    tracked = _git("diff", "--name-only", base)
    return [*tracked, *_git("ls-files", "--others", "--exclude-standard")]


def tests_for(paths: list[str]) -> list[str]:
    """Test files, sorted, for these changed files."""
    return sorted({str(test) for path in paths for test in _tests_of(path)})


def _tests_of(path: str) -> list[Path]:
    if path.startswith("tests/") and Path(path).name.startswith("test_"):
        return [ROOT / path] if (ROOT / path).exists() else []
    patterns = next((tests for prefix, tests in AREAS if path.startswith(prefix)), ("docs/test_*.py",))
    return [test for pattern in patterns for test in (ROOT / "tests").glob(pattern)]


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    tests = tests_for(changed_files(sys.argv[1] if len(sys.argv) > 1 else "main"))
    print("\n".join(tests) or "nothing changed: no test to run")
    sys.exit(pytest.main(["-q", *tests]) if tests else 0)
