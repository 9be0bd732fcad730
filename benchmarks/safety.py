"""The cost of opening files safely and of the store's checksums, as shares of a cold start.

    python benchmarks/safety.py [RUNS]

A cold start reads every run from the folders and writes the store. Its opens are counted by Python's audit hook. The extra cost
of a safe open (type and place of the opened file are checked) is that of `open_file` less that of `open`, over the same files.
Checksums are computed once more over every file of the store. All figures are processor time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support.child import run_python
from support.figures import Figure, print_section
from support.many import write_many

from sweeplens.safe_open import confined, open_file
from sweeplens.store.checksums import sum_of

_MOST = 3  # percent
_STEPS = 100
_ROUNDS = 5
COLD = """
import sys
from sweeplens import AnalysisConfig, ExperimentDB
opens = 0
def count(event, arguments):
    global opens
    opens += event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(sys.argv[1] + "/runs")
if sys.argv[2] == "count":
    sys.addaudithook(count)
db = ExperimentDB(AnalysisConfig(cache_dir=f"{sys.argv[1]}/{sys.argv[2]}"), base_path=sys.argv[1] + "/runs")
db.load_experiments()
print(opens)
"""


def cold_start(home: Path, what: str) -> tuple[int, float]:
    """Opens below the root, and seconds, of a process without a store."""
    cost = run_python(COLD, home, what)
    return int(cost.output), cost.cpu


def spent(work: Callable[[], object]) -> float:
    """The least processor time of some calls."""
    found: list[float] = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def safe_opens(root: Path, files: list[str]) -> None:
    """Opens each file as readers do."""
    with confined((str(root),)):
        for file in files:
            open_file(file).close()


def plain_opens(files: list[str]) -> None:
    """Opens each file as any program does."""
    for file in files:
        open(file, "rb", buffering=0).close()  # noqa: PTH123 - what is compared


def checksums(store: Path) -> None:
    """Computes the checksum of every file of a store."""
    for file in [path for path in store.rglob("*") if path.is_file()]:
        with file.open("rb", buffering=0) as stream:
            sum_of(stream)


def main(runs: int = 3000) -> None:
    """Measures and prints the section."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        root = write_many(home / "runs", runs=runs, steps=_STEPS)
        files = [str(file) for file in root.rglob("*") if file.is_file()]
        opens, _ = cold_start(home, "count")
        seconds = min(cold_start(home, f"cold{n}")[1] for n in range(3))
        each = (spent(lambda: safe_opens(root, files)) - spent(lambda: plain_opens(files))) / len(files)
        of_opens = each * opens / seconds
        assert any((home / "cold0").rglob("*.parquet"))
        of_checksums = spent(lambda: checksums(home / "cold0")) / seconds
    figures = [
        Figure(
            f"safe opens: {opens:,}, each {1e6 * each:.0f} µs more than a plain one", 100 * of_opens, "%", most=_MOST
        ),
        Figure("checksums of all files of the store", 100 * of_checksums, "%", most=_MOST),
    ]
    about = f"shares of a cold start of {runs:,} runs, which takes {seconds:.1f} s of processor time"
    print_section("What safety costs", "python benchmarks/safety.py", figures, about=about)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
