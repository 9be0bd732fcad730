"""The statistics against scipy, against tables in print, and against counting by hand."""

from __future__ import annotations

import itertools
import math
import statistics as plain
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sweeplens.analyses import noise, power, ranges, verdicts
from sweeplens.analyses import statistics as ours
from sweeplens.analyses.bests import gap_significance

SIZES = ((2, 2), (3, 5), (5, 5), (12, 7))


def samples(n: int, m: int, shift: float = 0.4) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(n * 100 + m)
    return list(rng.normal(shift, 1.0, n)), list(rng.normal(0.0, 2.0, m))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_welch_gives_scipys_difference_interval_and_p(n: int, m: int) -> None:
    a, b = samples(n, m)
    found, theirs = ours.welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    between = theirs.confidence_interval()
    assert found is not None
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((between.low, between.high), rel=1e-9)
    assert found.difference == pytest.approx(plain.fmean(a) - plain.fmean(b))


@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_paired_test_gives_scipys_interval_and_p(n: int) -> None:
    a, b = samples(n, n)
    found, theirs = ours.paired_t(a, b), stats.ttest_rel(a, b)
    between = theirs.confidence_interval()
    assert found is not None
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((between.low, between.high), rel=1e-9)


def test_an_interval_is_students_and_a_single_value_has_none() -> None:
    values = [0.91, 0.93, 0.90, 0.95]
    low, high = stats.t.interval(0.95, 3, loc=plain.fmean(values), scale=stats.sem(values))
    assert ours.interval(values) == pytest.approx((plain.fmean(values), low, high))
    assert ours.interval([0.5]) == (0.5, None, None)


def test_mann_whitneys_p_is_the_share_of_splits_at_least_as_far_out() -> None:
    a, b = samples(4, 5, shift=2.0)
    every = [*a, *b]

    def wins(first: tuple[int, ...]) -> int:
        rest = [i for i in range(9) if i not in first]
        return sum(every[i] > every[j] for i in first for j in rest)

    far = abs(wins((0, 1, 2, 3)) - 10)
    splits = [abs(wins(s) - 10) >= far for s in itertools.combinations(range(9), 4)]
    assert ours.mann_whitney(a, b) == pytest.approx(sum(splits) / len(splits))


def test_hedges_g_is_cohens_d_times_the_correction_for_small_samples() -> None:
    a, b = [5.0, 7.0, 9.0], [2.0, 4.0, 6.0]
    assert ours.hedges_g(a, b) == pytest.approx(3 / 2 * (1 - 3 / (4 * 4 - 1)))
    assert ours.hedges_g([1.0], b) is None
    assert ours.hedges_g([1.0, 1.0], [2.0, 2.0]) is None


def test_holm_multiplies_the_smallest_p_by_the_size_of_the_family_and_never_turns_the_order() -> None:
    assert ours.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert ours.holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert ours.holm([]) == []


UNIT = power.SideDeviations(1.0, 1.0, paired=False, df=20)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (3.0, 4)])
def test_seeds_needed_are_those_of_cohens_table(effect: float, seeds: int) -> None:
    found = power.seeds_needed(effect, UNIT)
    assert found is not None
    assert found.n == seeds
    assert found.low <= seeds <= (found.high or seeds)
    around = [_power(effect, n) for n in (seeds - 1, seeds)]
    assert around[0] < 0.8 <= around[1]


def _power(effect: float, n: int) -> float:
    edge, shifted = stats.t.ppf(0.975, 2 * n - 2), stats.nct(2 * n - 2, effect * math.sqrt(n / 2))
    return float(shifted.sf(edge) + shifted.cdf(-edge))


@pytest.mark.parametrize("df", [1, 2.5, 8, 60])
@pytest.mark.parametrize("effect", [0.3, 2.0, 4.0])
def test_power_is_that_of_the_noncentral_t_distribution(effect: float, df: float) -> None:
    edge, shifted = stats.t.ppf(0.975, df), stats.nct(df, effect)
    assert power.power_of(effect, df) == pytest.approx(float(shifted.sf(edge) + shifted.cdf(-edge)), abs=2e-5)


@given(st.floats(1e-3, 1e6), st.floats(0.6, 1e4))
def test_power_is_a_number_between_0_and_1_however_large_the_effect(effect: float, df: float) -> None:
    assert 0.0 <= power.power_of(effect, df) <= 1.0 + 1e-9


@given(effect=st.floats(0.02, 4), ratio=st.floats(0.1, 10), df=st.floats(1, 200), paired=st.booleans())
@settings(max_examples=40, deadline=None)
def test_seeds_needed_are_the_fewest_with_enough_power(effect: float, ratio: float, df: float, *, paired: bool) -> None:
    spreads = power.SideDeviations(1.0, 0.0 if paired else ratio, paired=paired, df=df)
    found = power.seeds_needed(effect * spreads.total, spreads)
    reached = (
        [power.power_of(effect * n**0.5, spreads.df_of(n)) >= 0.8 for n in (found.n - 1, found.n) if n > 1]
        if found
        else []
    )
    assert reached in ([], [True], [False, True])
    assert found or power.power_of(effect * power.MOST_SEEDS**0.5, spreads.df_of(power.MOST_SEEDS)) < 0.8


def test_seeds_needed_for_pairs_are_fewer_and_absurd_numbers_are_not_given() -> None:
    pairs = power.seeds_needed(0.5, power.SideDeviations(1.0, 0.0, paired=True, df=9))
    assert pairs is not None
    assert pairs.n == 34
    assert power.seeds_needed(1e-4, UNIT) is None
    assert power.seeds_needed(0.0, UNIT) is None
    assert power.seeds_needed(1.0, power.SideDeviations(0.0, 0.0, paired=True, df=9)) is None


def test_the_seeds_needed_invert_welchs_test_with_unequal_spreads() -> None:
    found = power.seeds_needed(1.0, power.SideDeviations(0.2, 2.0, paired=False, df=8))
    assert found is not None
    rng = np.random.default_rng(4)
    times = 2000
    hits = sum(
        (ours.welch(list(rng.normal(1, 0.2, found.n)), list(rng.normal(0, 2.0, found.n))) or math.inf).p < 0.05  # type: ignore[union-attr]
        for _ in range(times)
    )
    assert hits / times == pytest.approx(0.8, abs=0.03)


def test_the_detectable_difference_is_the_one_that_needs_as_many_seeds() -> None:
    shown = power.detectable(12, UNIT)
    assert shown is not None
    found = power.seeds_needed(shown * 1.0001, UNIT)
    assert found is not None
    assert found.n == 12


def test_two_different_constant_samples_get_the_exact_permutation_test() -> None:
    assert ours.exact_apart([1.0] * 10, [0.0] * 10) == pytest.approx(2 / math.comb(20, 10))
    assert ours.exact_apart([1.0] * 3, [0.0] * 3) == pytest.approx(0.1)
    assert ours.exact_apart([1.0, 1.1], [0.0] * 2) is None
    assert ours.exact_apart([1.0] * 3, [1.0] * 3) is None


def test_pairing_pays_where_seeds_move_both_sides_alike_and_rarely_where_they_do_not() -> None:
    rng = np.random.default_rng(6)
    seed = rng.normal(size=8)
    assert ours.pairing_increases_power(list(seed + rng.normal(0, 0.1, 8)), list(seed + rng.normal(0, 0.1, 8)))[0]
    chance = sum(
        ours.pairing_increases_power(list(rng.normal(size=5)), list(rng.normal(size=5)))[0] for _ in range(1000)
    )
    assert chance / 1000 < 0.08


@pytest.mark.parametrize(("delta", "equal"), [(0.05, False), (3.0, True)])
def test_equal_within_delta_is_what_statsmodels_formula_says(delta: float, equal: bool) -> None:
    a, b = samples(12, 12, shift=0.0)
    found = ours.welch(a, b)
    assert found is not None
    p = ours.equal_within(found, delta)
    one = stats.ttest_ind([v + delta for v in a], b, equal_var=False, alternative="greater").pvalue
    other = stats.ttest_ind([v - delta for v in a], b, equal_var=False, alternative="less").pvalue
    assert p == pytest.approx(max(one, other), rel=1e-6)
    assert (p < 0.05) is equal


@pytest.mark.parametrize(
    ("q", "k", "df"), [(3.5, 3, 10.0), (4.0, 4, 8.0), (3.6, 2, 3.0), (8.0, 20, 12.3), (4.5, 40, 200.0)]
)
def test_the_studentised_range_is_scipys(q: float, k: int, df: float) -> None:
    assert ranges.range_tail(q, k, df) == pytest.approx(float(stats.studentized_range.sf(q, k, df)), abs=2e-4, rel=0.02)


@pytest.mark.parametrize("a", [[1.0], [2.0, 2.0, 2.0]])
def test_without_repetition_or_spread_there_is_no_test(a: list[float]) -> None:
    b = [1.0] * len(a)
    assert ours.welch(a, b) is None
    assert ours.paired_t(a, b) is None


def test_a_spread_that_is_only_rounding_is_none() -> None:
    values = [0.1 + 0.2, 0.3, 0.1 * 3]
    assert ours.paired_t([v + 0.09 for v in values], values) is None
    assert ours.variance([0.1] * 7) == 0.0


def test_the_pooled_spread_is_the_root_of_the_mean_variance_within_groups() -> None:
    groups = [[1.0, 2.0, 4.0], [3.0, 3.5], [7.0]]
    spread = noise.pooled_spread([3, 2, 1], [plain.variance(g) if len(g) > 1 else None for g in groups])
    assert spread is not None
    within = sum(sum((v - plain.fmean(g)) ** 2 for v in g) for g in groups)
    assert spread.sd == pytest.approx(math.sqrt(within / 3))
    assert (spread.df, spread.groups, spread.outlying) == (3, 2, ())
    assert spread.of_difference(1, 1) == pytest.approx(stats.t.ppf(0.975, 3) * spread.sd * math.sqrt(2))
    assert noise.pooled_spread([1, 1], [None, None]) is None


def test_a_group_that_exploded_does_not_drown_the_others_but_an_ordinary_one_stays() -> None:
    rng = np.random.default_rng(3)
    calm = [float(np.var(rng.normal(size=3), ddof=1)) for _ in range(10)]
    spread = noise.pooled_spread([3] * 11, [*calm, 1e8])
    assert spread is not None
    assert spread.outlying == (10,)
    assert spread.sd == pytest.approx(math.sqrt(plain.fmean(calm)))
    left = sum(
        bool(noise.pooled_spread([2] * 20, [float(v) for v in rng.chisquare(1, 20)]).outlying)  # type: ignore[union-attr]
        for _ in range(500)
    )
    assert left / 500 < 0.02


@pytest.mark.parametrize(("paired", "shared"), [(True, 0.0), (True, 0.6), (True, 0.95), (False, 0.0)])
def test_the_primary_test_keeps_to_five_percent_and_finds_three_deviations(paired: bool, shared: float) -> None:
    rng = np.random.default_rng(11)
    false, found, times = 0, 0, 1000
    for _ in range(times):
        seed = rng.normal(size=5) * math.sqrt(shared)
        a, b = (list(seed * paired + rng.normal(size=5) * math.sqrt(1 - shared * paired)) for _ in range(2))
        false += (verdicts.contrast(a, b, paired=paired, noise=None).p or 1) < 0.05
        higher = [v + 3 for v in a]
        found += (verdicts.contrast(higher, b, paired=paired, noise=None).p or 1) < 0.05
    assert false / times <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / times)
    assert found / times >= 0.95


def test_an_outlying_group_of_two_runs_among_equal_means_is_called_worse_in_few_sweeps() -> None:
    rng = np.random.default_rng(2027)
    claims, sweeps = 0, 200
    for _ in range(sweeps):
        groups = sorted((rng.normal(0, 10 if wild else 1, 2) for wild in [True] + [False] * 9), key=lambda g: -g.mean())
        found = gap_significance([2] * 10, [float(g.mean()) for g in groups], [float(g.var(ddof=1)) for g in groups])
        claims += any(p is not None and p < 0.05 for p in found.p)
    assert claims / sweeps <= 0.075  # 4.2 % by benchmarks/error_rates.py; the pooled error alone had 11.8 %


def test_groups_of_two_runs_can_still_differ_significantly_from_the_best() -> None:
    found = gap_significance([2] * 4, [0.9, 0.8, 0.7, 0.6], [1e-6, 2e-6, 2e-6, 1e-6])
    assert all(p is not None and p < 0.05 for p in found.p[1:])


VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@given(VALUES, VALUES, st.sampled_from(["lower", "higher", "unknown"]))
def test_a_verdict_of_different_never_has_an_interval_that_contains_0(
    a: list[float], b: list[float], goal: str
) -> None:
    drawn = verdicts.contrast(a, b, paired=len(a) == len(b), noise=None)
    said = verdicts.verdict(drawn, drawn.p, goal, None)
    if drawn.test is not None:
        assert said.startswith("different") == (drawn.p is not None and drawn.p < 0.05)
        if said.startswith("different"):
            assert drawn.test.low > 0 or drawn.test.high < 0
            assert ("higher" in said.partition("a is ")[2]) == (drawn.difference > 0)


def test_with_equal_means_and_a_fifth_of_crashes_sides_are_not_called_different() -> None:
    rng = np.random.default_rng(8)
    false = 0
    for _ in range(300):
        a = [float(v) if rng.random() > 0.2 else 0.0 for v in rng.normal(100, 2, 20)]
        b = [float(v) for v in rng.normal(80, 2, 20)]
        false += verdicts.verdict(
            c := verdicts.contrast(a, b, paired=False, noise=None), c.p, "higher", None
        ).startswith("different")
    assert false / 300 < 0.1


@pytest.mark.parametrize("test", [ours.welch, ours.paired_t])
def test_intervals_hold_the_true_difference_in_about_ninety_five_of_a_hundred_cases(
    test: Callable[[list[float], list[float]], ours.TestResult | None],
) -> None:
    rng = np.random.default_rng(5)
    held, times = 0, 1000
    for _ in range(times):
        a, b = rng.normal(0.7, 1, 8), rng.normal(0, 1, 8)
        outcome = test(list(a), list(b))
        assert outcome
        held += outcome.low <= 0.7 <= outcome.high
    assert 0.93 <= held / times <= 0.97


@pytest.mark.parametrize("share", [0.025, 0.6, 0.95, 0.975, 0.9999])
@pytest.mark.parametrize("df", [0.5, 1, 2, 3.7, 9, 99, 100, 5000])
def test_quantiles_of_students_t_are_those_of_scipy(df: float, share: float) -> None:
    from scipy.special import stdtrit

    assert ours.t_quantile(df, share) == pytest.approx(float(stdtrit(df, share)), rel=1e-11)
