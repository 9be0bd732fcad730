"""Class names in the library and the server are unique, so that a name in a signature or a message means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("core/sweeplens", "server/sweeplens_mcp")
ALLOWED: dict[str, str] = {}
"""Names that several classes may share, with the reason."""


def classes_by_name() -> dict[str, list[str]]:
    """Returns name -> modules that define a class of that name; a leading underscore makes no other name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name.lstrip("_")].append(str(path.relative_to(ROOT)))
    return found


def test_no_two_classes_share_a_name() -> None:
    shared = {name: modules for name, modules in classes_by_name().items() if len(modules) > 1}
    assert {name: modules for name, modules in shared.items() if name not in ALLOWED} == {}


def test_each_exception_is_still_needed() -> None:
    found = classes_by_name()
    assert [name for name in ALLOWED if len(found[name]) < 2] == []


def test_the_classes_of_both_packages_are_found() -> None:
    assert {"ExperimentDB", "WorkerPool"} <= classes_by_name().keys()
