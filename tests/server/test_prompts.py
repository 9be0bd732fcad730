"""The prompts name tools and fields that are there, and few calls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweeplens import AnalysisConfig, ExperimentDB
from sweeplens_mcp.protocol.prompts import PROMPTS, PromptSpec, rendered
from sweeplens_mcp.tools import TOOLS

TOOL_NAMES = {spec.name for spec in TOOLS}
MOST_CALLS = 5


def named(prompt: PromptSpec) -> list[str]:
    return re.findall(r"`([a-z_]+)`", rendered(prompt, **{name: "THIS" for name, _, _ in prompt.arguments}))


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: p.name)
def test_a_prompt_leads_through_few_tools_that_are_there(prompt: PromptSpec) -> None:
    tools = [name for name in named(prompt) if name in TOOL_NAMES]
    assert 1 <= len(set(tools)) <= MOST_CALLS
    told_to_call = re.findall(r"[Cc]all `([a-z_]+)`", rendered(prompt, run_id="r", a="x", b="y"))
    assert told_to_call
    assert set(told_to_call) <= TOOL_NAMES


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: p.name)
def test_whatever_else_a_prompt_names_is_an_argument_or_a_field_of_an_answer(prompt: PromptSpec, sweep: Path) -> None:
    import inspect

    db = ExperimentDB(AnalysisConfig(), base_path=sweep)
    answers = [db.rank("val/acc"), db.effects("val/acc"), db.compare("lr0.1*", "lr0.01*"), db.diagnose(), db.overview()]
    fields = {c for a in answers for c in (*a.table.columns, *a.tables)}
    arguments = {name for spec in TOOLS for name in inspect.signature(spec.function).parameters}
    assert set(named(prompt)) <= TOOL_NAMES | fields | arguments


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: p.name)
def test_an_argument_that_is_missing_leaves_no_gap(prompt: PromptSpec) -> None:
    text = rendered(prompt, **{name: "THIS" for name, _, required in prompt.arguments if required})
    assert "{" not in text
    assert "  where" not in text
