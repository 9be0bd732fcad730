"""Each file of `editor-configs/`: read and expanded as its client does, started with the little that clients pass on."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import pytest
from support.configs import SAMPLE_PROJECT, expand, loaded_entry, started_by
from support.plain_client import list_tools

from sweeplens.demo_data import PlannedRun, write_sweep
from sweeplens_mcp.cli.client_files import rendered
from sweeplens_mcp.cli.clients import CLIENTS, Client, LaunchCommand
from sweeplens_mcp.tools import PAGE_TOOLS, TOOLS

CONFIGS = Path(__file__).parents[2] / "editor-configs"
SCRIPT = Path(sys.executable).with_name("sweeplens")
SCRUBBED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER", "ANALYSIS_CACHE_DIR", "SYSTEMROOT")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the files hold the paths of a POSIX virtual environment")


def file_of(client: Client) -> Path:
    (path,) = (p for p in (CONFIGS / client.name).rglob("*") if p.is_file())
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as the files presume it: sweeplens in its `.venv`, runs in `experiments`."""
    folder = tmp_path_factory.mktemp("a project Ä")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "sweeplens").symlink_to(SCRIPT)
    write_sweep(folder / "experiments", runs=[PlannedRun(0.1, 64, 0, epochs=2)])
    return folder


@cache
def tools_of(command: tuple[str, ...], cwd: Path) -> list[str]:
    """The tools that a command serves; many clients start the same one, which is then asked once."""
    return list_tools(command, cwd=cwd, env={k: os.environ[k] for k in SCRUBBED if k in os.environ})


@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.name)
def test_each_file_starts_a_server_that_lists_its_tools(client: Client, project: Path) -> None:
    command = started_by(loaded_entry(client, file_of(client).read_text(encoding="utf-8")))
    # Claude Code starts servers in the project; of the others none promises a working directory.
    cwd = project if client.name == "claude-code" else Path(project.anchor)
    assert tools_of(tuple(expand(client, command, project)), cwd) == [tool.name for tool in (*TOOLS, *PAGE_TOOLS)]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.name)
def test_each_file_says_what_the_command_line_prints(client: Client) -> None:
    at = f"{SAMPLE_PROJECT}/.venv/bin/sweeplens", ("serve", "--root", f"{SAMPLE_PROJECT}/experiments")
    printed = loaded_entry(client, rendered(client, LaunchCommand(*at)))
    filed = loaded_entry(client, file_of(client).read_text(encoding="utf-8"))
    if client.name != "claude-code":  # its file names no absolute path at all
        assert expand(client, started_by(filed), Path(SAMPLE_PROJECT), {}) == started_by(printed)
    if isinstance(filed, dict):
        about = ("command", "args", "cmd")
        assert {k: v for k, v in filed.items() if k not in about} == {
            k: v for k, v in printed.items() if k not in about
        }


def test_every_client_has_a_file_and_a_line_in_the_table() -> None:
    folders = {p.name for p in CONFIGS.iterdir() if p.is_dir()}
    assert folders == {client.name for client in CLIENTS}
    table = (CONFIGS / "README.md").read_text(encoding="utf-8")
    assert [c.title for c in CLIENTS if c.title.split()[-1] not in table] == []


def test_no_file_holds_a_variable_that_its_client_would_pass_on_unexpanded(project: Path) -> None:
    for client in CLIENTS:
        command = started_by(loaded_entry(client, file_of(client).read_text(encoding="utf-8")))
        assert not [part for part in expand(client, command, project) if "$" in part], client.name
