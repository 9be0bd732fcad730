"""Colours of groups can be distinguished with any colour vision, and have contrast to the page in both themes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeplens.charts.theme import CATEGORIES, THEMES, ink_on, ramp_colour

# Machado, Oliveira, Fernandes (2009), severity 1: what is left of linear RGB without one kind of cone.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
_LMS = np.array(  # Ottosson's OKLab
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
APART = {"usual": 0.2}  # in OKLab, where 0.02 is the least difference that people see
APART_OTHERWISE = 0.11


def linear(colour: str) -> NDArray[np.float64]:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, sight: str) -> NDArray[np.float64]:
    """Returns a colour in OKLab as seen with this colour vision."""
    left = np.clip(np.array(SIGHT[sight]) @ linear(colour), 1e-6, 1)
    return _LAB @ np.cbrt(_LMS @ left)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", THEMES)
def test_colours_of_groups_keep_apart_from_each_other_and_from_grey(theme: str, sight: str) -> None:
    colours = [*THEMES[theme].categories, THEMES[theme].rest]
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(seen(one, sight) - seen(other, sight)) > APART.get(sight, APART_OTHERWISE), (one, other)


@pytest.mark.parametrize("theme", THEMES)
def test_colours_and_words_stand_out_from_the_page(theme: str) -> None:
    look = THEMES[theme]
    assert len(look.categories) == CATEGORIES
    assert min(contrast(colour, look.page) for colour in look.categories) >= 3
    assert contrast(look.text, look.page) >= 7
    assert contrast(look.quiet, look.page) >= 4.5


@pytest.mark.parametrize("share", [i / 20 for i in range(21)])
def test_numbers_in_cells_read_on_the_colour_of_their_cell(share: float) -> None:
    cell = "#{:02x}{:02x}{:02x}".format(*ramp_colour(share))
    assert contrast(ink_on(share), cell) >= 3.5
