"""The committed pictures are those that the code draws: `make pictures` writes them again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_pictures", PICTURES / "make.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_each_picture_has_the_structure_that_was_committed_with_it(make: ModuleType) -> None:
    written = json.loads(make.STRUCTURE.read_text(encoding="utf-8"))
    drawn = {name: make.structure(chart) for name, chart in make.charts()}
    assert json.loads(json.dumps(drawn)) == written


def test_each_picture_is_there_in_light_and_in_dark_and_small_enough_for_a_page(make: ModuleType) -> None:
    for name in make.PICTURES:
        for theme in ("light", "dark"):
            image = (PICTURES / f"{name}-{theme}.png").read_bytes()
            assert image.startswith(b"\x89PNG")
            assert 5_000 < len(image) <= make.MOST_BYTES
