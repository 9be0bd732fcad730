"""Names of classes and type aliases in the library and the server, so that a name in a signature or a message means one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("core/sweeplens", "server/sweeplens_mcp")
ALLOWED: dict[str, str] = {}
"""Names that several classes may share, with the reason."""
_TYPE_NAME = re.compile(r"_?[A-Z]\w*[a-z]\w*")


@cache
def trees() -> dict[str, ast.Module]:
    """Returns the syntax tree of each module of both packages."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in paths}


def class_names(tree: ast.Module) -> Iterator[str]:
    """Yields the names of classes; a leading underscore makes no other name."""
    yield from (node.name.lstrip("_") for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def alias_names(tree: ast.Module) -> Iterator[str]:
    """Yields the names of type aliases: assignments to names in the form of a class's name."""
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else ()
        )
        yield from (t.id.lstrip("_") for t in targets if isinstance(t, ast.Name) and _TYPE_NAME.fullmatch(t.id))


def classes_by_name() -> dict[str, list[str]]:
    """Returns name -> modules that define a class of that name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        for name in class_names(tree):
            found[name].append(path)
    return found


def test_no_two_classes_share_a_name() -> None:
    shared = {name: modules for name, modules in classes_by_name().items() if len(modules) > 1}
    assert {name: modules for name, modules in shared.items() if name not in ALLOWED} == {}


def test_no_type_alias_has_the_name_of_a_class() -> None:
    classes = classes_by_name()
    shared = {
        name: (path, classes[name]) for path, tree in trees().items() for name in alias_names(tree) if name in classes
    }
    assert {name: modules for name, modules in shared.items() if name not in ALLOWED} == {}


def test_each_exception_is_still_needed() -> None:
    found = classes_by_name()
    assert [name for name in ALLOWED if len(found[name]) < 2] == []


def test_classes_and_aliases_of_both_packages_are_found() -> None:
    assert {"ExperimentDB", "WorkerPool"} <= classes_by_name().keys()
    assert {"Renderer", "MetricName"} <= {name for tree in trees().values() for name in alias_names(tree)}
