"""`make clients`: clients of others talk to our server; one line each says which, what was done, and how it went.

python -m tests.clients [NAME ...]      exit code 1 when a client stumbled; one that cannot be installed here is skipped
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients import npm_clients
from tests.clients.place import BrokenError, Place, make_project
from tests.clients.python_clients import python_client, version_of
from tests.soak.support import serving
from tests.support.npm import NODE, NotInstalledError, installed


@dataclass(frozen=True, slots=True)
class Trial:
    """One client. ``package`` has its version where npm brings it; Python's is asked when it is installed."""

    name: str
    package: str
    run: Callable[[Place, str], str]
    group: str = ""

    @property
    def version(self) -> str:
        """The version in use."""
        return version_of(self.group, self.package) if self.group else self.package.rpartition("@")[2]


def _python(name: str, script: str, did: str, group: str = "clients") -> Trial:
    def run(place: Place, _: str) -> str:
        python_client(place, group, script)
        return f"{did}; stdio and HTTP"

    return Trial(name, name, run, group)


TRIALS = (
    Trial("inspector", "@modelcontextprotocol/inspector@2.12.0", npm_clients.inspector),
    Trial("typescript-sdk-1", "@modelcontextprotocol/sdk@1.32.2", npm_clients.typescript1),
    Trial("typescript-sdk-2", "@modelcontextprotocol/client@2.4.0", npm_clients.typescript2),
    Trial("gemini-cli", "@google/gemini-cli@0.61.0", npm_clients.gemini),
    Trial("opencode", "opencode-ai@1.18.33", npm_clients.opencode),
    Trial("codex", "@openai/codex@0.169.0", npm_clients.codex),
    Trial("mcp-hub", "mcp-hub@4.2.1", npm_clients.hub),
    _python("fastmcp", "with_fastmcp.py", "tools, a call, an error, resources"),
    _python("pydantic-ai-slim", "with_pydantic_ai.py", "an agent with a scripted model calls a tool"),
    _python("langchain-mcp-adapters", "with_langchain.py", "our tools as LangChain's, a call", "clients-sdk1"),
    _python("openai-agents", "with_openai_agents.py", "tools, a call"),
)


def main(names: list[str]) -> int:
    """Run the trials and print one line each."""
    chosen = [trial for trial in TRIALS if not names or trial.name in names]
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder).resolve() / "project")
        with serving(project / "experiments") as server:
            outcomes = [_tried(trial, Place(project, Path(folder) / "home", server.url)) for trial in chosen]
    counts = {outcome: outcomes.count(outcome) for outcome in ("ok", "skipped", "BROKEN")}
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))
    return 1 if counts["BROKEN"] else 0


def _tried(trial: Trial, place: Place) -> str:
    began, version = time.monotonic(), "" if trial.group else trial.version
    place.home.mkdir(exist_ok=True)
    try:
        installed("node", (NODE,))
        what, outcome = trial.run(place, trial.package), "ok"
        version = trial.version
    except NotInstalledError as error:
        what, outcome = f"cannot be installed here: {error}", "skipped"
    except BrokenError as error:
        what, outcome = str(error), "BROKEN"
    seconds = time.monotonic() - began
    print(f"{outcome:<8}{f'{trial.name} {version}'.strip():<30} {what} ({seconds:.0f} s)", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
