"""Distribution functions agree with scipy's, in the middle and in the far tails; trees are the same with and without a compiler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from sweeplens.probability.beta import beta_quantile, f_quantile, f_tail
from sweeplens.probability.counts import hypergeometric_tail, mann_whitney_p
from sweeplens.probability.gamma import chi2_tail, chi2_upper_quantile
from sweeplens.probability.normal import normal_cdf, normal_quantile, normal_tail
from sweeplens.probability.spread import spread_nodes
from sweeplens.probability.student_t import t_tail
from sweeplens.probability.student_t_arrays import t_tails

RNG = np.random.default_rng(20261127)
DF = 10 ** RNG.uniform(-0.3, 5, 3000)
CLOSE = {"rtol": 2e-10, "atol": 1e-280}


def _each(function: Callable[..., float], *arguments: Iterable[float]) -> list[float]:
    return [function(*map(float, values)) for values in zip(*arguments, strict=True)]


def test_the_normal_probability_is_scipys_down_to_the_smallest_numbers() -> None:
    z = np.concatenate([RNG.uniform(-38, 38, 3000), [0.0, np.inf, -np.inf, np.nan]])
    np.testing.assert_allclose(normal_cdf(z), special.ndtr(z), **CLOSE)


@pytest.mark.parametrize("p", [1e-300, 1e-12, 0.025, 0.5, 0.999, 1 - 1e-12])
def test_the_normal_quantile_is_scipys(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-12, abs=1e-15)


def test_tails_of_chi_square_are_scipys() -> None:
    x = DF * 10 ** RNG.uniform(-2, 1.5, len(DF))
    np.testing.assert_allclose(_each(chi2_tail, DF, x), special.chdtrc(DF, x), **CLOSE)


@pytest.mark.parametrize("least", [-14, -1])
def test_quantiles_of_chi_square_are_scipys(least: int) -> None:
    df = DF[:300]
    p = 10 ** RNG.uniform(least, -1e-9, len(df))
    np.testing.assert_allclose(_each(chi2_upper_quantile, df, p), special.chdtri(df, p), **CLOSE)


@pytest.mark.parametrize("df", [3e5, 1e7, 1e12])
def test_chi_square_with_very_many_degrees_of_freedom_is_scipys_to_seven_digits(df: float) -> None:
    p = np.linspace(0.001, 0.999, 99)
    x = _each(lambda share: chi2_upper_quantile(df, share), p)
    np.testing.assert_allclose(np.array(x) / df, special.chdtri(df, p) / df, rtol=1e-7)
    np.testing.assert_allclose(_each(lambda at: chi2_tail(df, at), x), p, rtol=1e-7)


def test_tails_of_students_t_are_scipys() -> None:
    t = RNG.normal(size=len(DF)) * 10 ** RNG.uniform(-3, 3, len(DF))
    np.testing.assert_allclose(_each(t_tail, DF, t), special.stdtr(DF, -t), **CLOSE)


def test_tails_of_many_t_at_once_are_those_of_each_alone() -> None:
    t = np.concatenate([np.abs(RNG.standard_t(np.minimum(DF, 50))) ** 2, [0.0, 1e-300, 1e200, np.inf, 3.0]])
    df = np.concatenate([DF, [0.1, 1e14, 5.0, 8.0, 1e15]])
    np.testing.assert_allclose(t_tails(df, t), _each(t_tail, df, t), rtol=1e-12, atol=1e-280)
    assert t_tails(np.array([]), np.array([])).tolist() == []


def test_tails_of_f_are_scipys() -> None:
    above, f = 10 ** RNG.uniform(0, 4, len(DF)), 10 ** RNG.uniform(-2, 1, len(DF))
    np.testing.assert_allclose(_each(f_tail, above, DF, f), special.fdtrc(above, DF, f), rtol=2e-10, atol=1e-200)


@pytest.mark.parametrize("above", [1, 5, 1000])
@pytest.mark.parametrize("below", [1, 20, 1e5])
def test_quantiles_of_f_are_scipys(above: float, below: float) -> None:
    assert f_quantile(above, below, 0.9999) == pytest.approx(special.fdtri(above, below, 0.9999), rel=1e-9)


@pytest.mark.parametrize("p", [0.025, 0.975])
def test_quantiles_of_beta_are_scipys(p: float) -> None:
    hits = np.floor(10 ** RNG.uniform(0, 4, 500))
    rest = np.floor(10 ** RNG.uniform(0, 4, 500))
    found = [beta_quantile(a, b, p) for a, b in zip(hits.tolist(), rest.tolist(), strict=True)]
    np.testing.assert_allclose(found, special.betaincinv(hits, rest, p), rtol=2e-10)


def test_what_lies_outside_of_a_distribution_has_the_limits() -> None:
    assert [t_tail(3, t) for t in (math.inf, -math.inf, 0.0)] == [0.0, 1.0, 0.5]
    assert [f_tail(3, 4, f) for f in (0.0, math.inf)] == [1.0, 0.0]
    assert [chi2_tail(3, x) for x in (0.0, math.inf)] == [1.0, 0.0]
    assert math.isnan(t_tail(math.nan, 1.0))
    assert math.isnan(beta_quantile(0.0, 1.0, 0.5))


@given(st.floats(1e-3, 1e300), st.floats(0, 1e300), st.floats(1e-300, 1 - 1e-16))
@settings(max_examples=200, deadline=None)
def test_no_argument_leaves_the_bounds_of_a_probability(df: float, x: float, p: float) -> None:
    found = (t_tail(df, x), f_tail(min(df, 1e6), 7, x), f_tail(7, min(df, 1e6), x), chi2_tail(df, x), normal_tail(x))
    assert all(-1e-12 <= share <= 1 + 1e-12 for share in found)
    assert chi2_upper_quantile(df, p) >= 0


@given(st.integers(1, 400), st.data())
@settings(max_examples=25, deadline=None)
def test_hypergeometric_tails_are_scipys(total: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, total))
    marked = data.draw(st.integers(0, total))
    found = np.arange(drawn + 1)[None, :]
    expected = stats.hypergeom.sf(found - 1, total, marked, drawn)
    np.testing.assert_allclose(hypergeometric_tail(found, np.array([marked]), drawn, total), expected, **CLOSE)


values = st.lists(st.integers(-9, 9).map(float) | st.floats(-1e6, 1e6), min_size=2, max_size=20)


@given(values, values)
@settings(max_examples=60, deadline=None)
def test_mann_and_whitneys_test_is_scipys_with_ties_and_without(a: list[float], b: list[float]) -> None:
    if len({*a, *b}) > 1:
        assert mann_whitney_p(a, b) == pytest.approx(stats.mannwhitneyu(a, b).pvalue, rel=1e-10)


@pytest.mark.parametrize("df", [1.0, 2.0, 3.5, 20.0, 1000.0])
def test_averages_over_the_spread_are_those_of_the_noncentral_t_distribution(df: float) -> None:
    spread, weights = (rows[0] for rows in spread_nodes(np.array([df])))
    below = float(weights @ normal_cdf(2.0 - 1.7 * spread))
    assert below == pytest.approx(stats.nct.sf(1.7, df, 2.0), abs=1e-5 if df < 2 else 1e-9)
    assert float(weights @ spread**2) == pytest.approx(1.0, abs=1e-5)
