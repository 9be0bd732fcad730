"""`make soak`: one server under many clients, long use and misuse. Prints a table; exits 1 if a limit is broken.

python -m tests.soak [--share 0.1] [NAME ...]      --share: a part of the full counts
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.soak import cancel, fuzz, kills, manners, many, neighbours, sources
from tests.soak.support import Finding, write_runs

TRIALS = (
    many.http_answers_are_the_callers_own,
    many.two_hundred_clients_are_served,
    many.stdio_answers_are_the_callers_own,
    many.memory_and_descriptors_stay,
    many.light_calls_stay_quick_beside_heavy_ones,
    many.light_calls_stay_quick_beside_pictures,
    cancel.cancelled_calls_free_their_processor,
    manners.rude_clients_harm_nobody,
    manners.abandoned_sessions_cost_nothing,
    manners.servers_end_when_told,
    neighbours.hostile_neighbours_harm_nobody,
    fuzz.no_message_breaks_the_server,
    kills.killed_readers_lose_nothing,
    sources.odd_sources_harm_nobody,
)


def main() -> int:
    """Run the trials."""
    given = argparse.ArgumentParser(prog="soak")
    given.add_argument("names", nargs="*", choices=[*(t.__name__ for t in TRIALS), []])
    given.add_argument("--share", type=float, default=1.0)
    options = given.parse_args()
    print(_HEAD, flush=True)
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        root = write_runs(Path(folder) / "runs")
        for trial in TRIALS:
            if options.names and trial.__name__ not in options.names:
                continue
            began = time.perf_counter()
            for finding in trial(root, options.share):
                broken += not finding.held
                _say((trial.__doc__ or "").split("\n")[0].rstrip("."), finding, time.perf_counter() - began)
    print("\nEvery bound held." if not broken else f"\n{broken} bounds broken.")
    return 1 if broken else 0


_HEAD = """## Many clients, long use, misuse

`make soak`

| target | measured | seconds | met |
|---|---|---|---|"""


def _say(target: str, finding: Finding, seconds: float) -> None:
    print(f"| {target} | {finding.what} | {seconds:.0f} | {'yes' if finding.held else 'NO'} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
