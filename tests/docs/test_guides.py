"""README.md and docs/python.md are true: their code runs, their excerpt is the output, their tables are complete."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig
from sweeplens.config import Thresholds
from sweeplens.demo_data import write_sweep
from sweeplens_mcp.cli.clients import CLIENTS

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
OTHER_TOOLS = (PROJECT / "docs" / "other-tools.md").read_text(encoding="utf-8")
GUIDE = (PROJECT / "docs" / "python.md").read_text(encoding="utf-8")
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [text for kind, text in found if kind == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's `sweep` in it, as the pages assume."""
    here = tmp_path_factory.mktemp("reader")
    write_sweep(here / "sweep", now=datetime.now(UTC))
    return here


@pytest.mark.parametrize(
    "page", [README, GUIDE, OTHER_TOOLS], ids=["README.md", "docs/python.md", "docs/other-tools.md"]
)
def test_the_python_of_a_page_runs_as_one_script(page: str, folder: Path) -> None:
    script = "\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    if page is GUIDE:
        assert "60 33424 3" in done.stdout
        assert "No metric 'val_acc'. Nearest: 'val/acc'" in done.stdout


def test_the_readmes_excerpt_is_the_output_of_its_command(folder: Path) -> None:
    (command,) = (
        line for text in blocks(README, "sh") for line in text.splitlines() if line.startswith("sweeplens call")
    )
    (excerpt,) = blocks(README, "text")
    module = [sys.executable, "-m", "sweeplens_mcp", *shlex.split(command)[1:]]
    done = subprocess.run(module, cwd=folder, capture_output=True, encoding="utf-8", check=True)
    assert excerpt.count("\n") >= 8
    assert set(excerpt.splitlines()) <= set(done.stdout.splitlines())


def test_the_readme_opens_with_two_commands_and_one_that_connects_an_editor() -> None:
    first, second = blocks(README, "sh")[:2]
    assert [line.split("#")[0].split() for line in first.splitlines()] == [["make", "demo"], ["make", "test"]]
    assert "sweeplens config vscode" in second
    assert f"lists the {len(CLIENTS)} clients" in README


def test_every_setting_is_in_the_table_with_its_description() -> None:
    rows = [
        f"| `{name}` | {field.description} | `{field.get_default(call_default_factory=True)!r}` |"
        for name, field in AnalysisConfig.model_fields.items()
        if name != "thresholds"
    ]
    assert _table("settings") == ["| setting | what it is | default |", "|---|---|---|", *rows]


def test_every_threshold_is_in_the_table_with_its_description() -> None:
    rows = [
        f"| `{name}` | {field.description} | `{field.default!r}` |" for name, field in Thresholds.model_fields.items()
    ]
    assert _table("thresholds") == ["| threshold | what it is | default |", "|---|---|---|", *rows]


def _table(name: str) -> list[str]:
    """Returns the lines of the guide between the marks with this name."""
    return GUIDE.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip().splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_into_the_project_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_that_a_page_names_is_there() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(
            r"`((?:core|server|tests|docs|examples|requirements|editor-configs)/[\w./-]*)`", page.read_text("utf-8")
        )
    }
    assert len(named) > 15
    assert [(page, path) for page, path in named if not (PROJECT / path).exists()] == []


def test_the_page_of_the_architecture_gives_a_reason_for_each_dependency() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    needed = {re.split(r"[^\w-]", d)[0] for d in project["project"]["dependencies"]}
    extras = {
        re.split(r"[^\w-]", d)[0] for named in project["project"]["optional-dependencies"].values() for d in named
    }
    reasons = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    assert needed <= reasons <= needed | extras


@pytest.mark.parametrize(("lock", "groups"), [("run.txt", ("build",)), ("dev.txt", ("build", "dev"))])
def test_the_lock_that_make_installs_holds_everything_that_the_project_names(
    lock: str, groups: tuple[str, ...]
) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = set(
        re.findall(r"^([\w.-]+)(?:\[\w+\])?==", (PROJECT / "requirements" / lock).read_text("utf-8"), re.MULTILINE)
    )
    wanted = [*project["project"]["dependencies"], *(d for g in groups for d in project["dependency-groups"][g])]
    missing = {re.split(r"[^\w.-]", d)[0].lower() for d in wanted} - locked
    assert not missing, f"make lock writes {lock} anew"


def test_the_table_of_names_has_every_tool_with_its_method_and_its_command() -> None:
    import inspect

    from sweeplens import ExperimentDB
    from sweeplens_mcp.cli.question_names import command_for
    from sweeplens_mcp.tools import TOOLS

    rows = [
        re.findall(r"`([^`]+)`", line) for line in OTHER_TOOLS.splitlines() if line.startswith("| ") and "`" in line
    ]
    assert [row[0] for row in rows if row[0] != "ExperimentDB"] == [spec.name for spec in TOOLS]
    for tool, *methods, command in (row for row in rows if row[0] != "ExperimentDB"):
        spec = next(spec for spec in TOOLS if spec.name == tool)
        assert all(hasattr(ExperimentDB, method) for method in (tool, *methods))
        assert any(f"db.{method}(" in inspect.getsource(spec.function) for method in methods)
        assert command == f"sweeplens {command_for(tool) or tool}"
