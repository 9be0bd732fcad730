"""`make conformance`: the protocol's conformance suite, both eras, against the stack that ships. Exit code 1 on a scored failure.

--if-able    where the suite cannot be installed, say why and leave it at that

The suite says itself which scenarios a revision scores; the others run too and are listed, but decide nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.fixtures import conformance_app
from support.npm import NODE, NotInstalledError, binary, installed
from support.serving import served
from support.sweep import write_sweep

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
REVISIONS = ("2025-11-25", "2026-07-28")
_SCENARIO = re.compile(r"^([✓✗]) ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
_UNSCORED = re.compile(r"^  [✓✗] ([\w-]+) \((.+)\)", re.MULTILINE)
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the suite said of one revision. Scenarios are by name; ``unscored`` says why each of them is not."""

    passed: dict[str, int]
    failed: dict[str, int]
    unscored: dict[str, str]
    exit_code: int
    seconds: float

    @property
    def scored(self) -> list[str]:
        """The scenarios that decide."""
        return [name for name in (*self.passed, *self.failed) if name not in self.unscored]

    @property
    def broken(self) -> list[str]:
        """The scored scenarios that failed."""
        return [name for name in self.scored if name in self.failed]

    @property
    def well(self) -> bool:
        """Whether the revision is conformed to: by our reading of the report and by the suite's own exit code."""
        return bool(self.scored) and not self.broken and self.exit_code == 0


def main() -> int:
    """Run both revisions and print a summary."""
    try:
        modules = installed("conformance", (NODE, SUITE))
    except NotInstalledError as error:
        if "--if-able" in sys.argv:
            print(f"Conformance skipped: {error}.")
            return 0
        print(f"The conformance suite cannot be installed: {error}.", file=sys.stderr)
        return 1
    os.environ["ANALYSIS_CACHE"] = "memory"
    with tempfile.TemporaryDirectory() as folder:
        root = write_sweep(Path(folder) / "runs")
        with served(conformance_app(root)) as url:
            outcomes = {revision: _outcome(modules, url, revision, Path(folder)) for revision in REVISIONS}
    for revision, outcome in outcomes.items():
        print(_summary(revision, outcome))
    return 0 if all(outcome.well for outcome in outcomes.values()) else 1


def _outcome(modules: Path, url: str, revision: str, folder: Path) -> Outcome:
    index = modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [binary(modules, "node"), index, "server", "--url", url, "--requirements", revision]
    began = time.monotonic()
    done = subprocess.run(
        [*map(str, command), "--output-dir", str(folder / revision)],
        capture_output=True, text=True, encoding="utf-8", timeout=_SECONDS, check=False,
    )  # fmt: skip
    outcome = read_report(done.stdout, done.returncode, time.monotonic() - began)
    if not outcome.well:
        print(done.stdout[-20_000:], done.stderr[-5_000:], sep="\n")
    return outcome


def read_report(text: str, exit_code: int, seconds: float) -> Outcome:
    """The suite's closing report."""
    report = text[text.rfind("=== SUMMARY ===") :]
    found = [(mark, name, int(passed)) for mark, name, passed, _ in _SCENARIO.findall(report)]
    return Outcome(
        passed={name: checks for mark, name, checks in found if mark == "✓"},
        failed={name: checks for mark, name, checks in found if mark == "✗"},
        unscored=dict(_UNSCORED.findall(report)),
        exit_code=exit_code,
        seconds=seconds,
    )


def _summary(revision: str, outcome: Outcome) -> str:
    scored = outcome.scored
    checks = sum(count for name, count in (outcome.passed | outcome.failed).items() if name in scored)
    lines = [
        f"{revision}: {len(scored) - len(outcome.broken)} of {len(scored)} scored scenarios pass "
        f"({checks} checks, {outcome.seconds:.0f} s)",
        *(f"  FAILED {name}" for name in outcome.broken),
    ]
    beside = [f"{name} ({why})" for name, why in outcome.unscored.items() if name in outcome.failed]
    return "\n".join([*lines, *([f"  not scored and not passed: {', '.join(beside)}"] if beside else [])])


if __name__ == "__main__":
    sys.exit(main())
