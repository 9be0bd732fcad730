"""The statistics against scipy, against tables in print, and against counting by hand."""

from __future__ import annotations

import itertools
import math
import statistics as plain
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sweeplens.analyses import noise, verdicts
from sweeplens.analyses import statistics as ours

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


def test_wilcoxons_p_is_the_share_of_sign_patterns_at_least_as_far_out() -> None:
    a, b = samples(8, 8, shift=1.5)
    differences = [x - y for x, y in zip(a, b, strict=True)]
    order = sorted(range(8), key=lambda i: abs(differences[i]))
    ranks = {i: r for r, i in enumerate(order, start=1)}
    seen = sum(ranks[i] for i in range(8) if differences[i] > 0)
    far = abs(seen - 18)
    sums = [
        sum(r for r, sign in zip(range(1, 9), signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=8)
    ]
    found = ours.wilcoxon(a, b)
    assert found is not None
    assert found.p == pytest.approx(sum(abs(s - 18) >= far for s in sums) / 256)


def test_wilcoxons_interval_holds_the_shifts_that_the_test_does_not_reject() -> None:
    a, b = samples(9, 9)
    found = ours.wilcoxon(a, b)
    assert found is not None
    step = 1e-6 * (found.high - found.low)
    for shift, kept in (
        (found.low + step, True),
        (found.low - step, False),
        (found.high - step, True),
        (found.high + step, False),
    ):
        moved = ours.wilcoxon(a, [y + shift for y in b])
        assert moved is not None
        assert (moved.p > 0.05) is kept


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


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (3.0, 4)])
def test_seeds_needed_are_those_of_cohens_table(effect: float, seeds: int) -> None:
    assert ours.seeds_needed(effect, 1.0) == seeds
    power = [_power(effect, n) for n in (seeds - 1, seeds)]
    assert power[0] < 0.8 <= power[1]


def _power(effect: float, n: int) -> float:
    edge, shifted = stats.t.ppf(0.975, 2 * n - 2), stats.nct(2 * n - 2, effect * math.sqrt(n / 2))
    return float(shifted.sf(edge) + shifted.cdf(-edge))


def test_seeds_needed_for_pairs_are_fewer_and_absurd_numbers_are_not_given() -> None:
    assert ours.seeds_needed(0.5, 1.0, paired=True) == 34
    assert ours.seeds_needed(1000.0, 1e-3) == 2
    assert ours.seeds_needed(1e-4, 1.0) is None
    assert ours.seeds_needed(0.0, 1.0) is None
    assert ours.seeds_needed(1.0, 0.0) is None


@pytest.mark.parametrize("a", [[1.0], [2.0, 2.0, 2.0]])
def test_without_repetition_or_spread_there_is_no_test(a: list[float]) -> None:
    b = [1.0] * len(a)
    assert ours.welch(a, b) is None
    assert ours.paired_t(a, b) is None
    assert ours.wilcoxon(a, b) is None


def test_a_spread_that_is_only_rounding_is_none() -> None:
    values = [0.1 + 0.2, 0.3, 0.1 * 3]
    assert ours.paired_t([v + 0.09 for v in values], values) is None
    assert ours.variance([0.1] * 7) == 0.0


def test_normal_differences_stay_with_the_paired_test_and_wild_ones_go_to_wilcoxon() -> None:
    rng = np.random.default_rng(0)
    normal = sum(ours.clearly_skewed(list(rng.normal(size=12)), [0.0] * 12) for _ in range(300))
    assert normal / 300 < 0.03
    wild = [0.01, 0.02, 0.03, 0.02, 0.01, 0.02, 9.0, 0.015]
    assert verdicts.contrast(wild, [0.0] * 8, paired=True, noise=None).test.test == "Wilcoxon"  # type: ignore[union-attr]
    assert not ours.clearly_skewed([0.0, 0.0, 9.0], [0.0, 0.1, 0.0])


def test_the_pooled_spread_is_the_root_of_the_mean_variance_within_groups() -> None:
    groups = [[1.0, 2.0, 4.0], [3.0, 3.5], [7.0]]
    spread = noise.pooled_spread([3, 2, 1], [plain.variance(g) if len(g) > 1 else None for g in groups])
    assert spread is not None
    within = sum(sum((v - plain.fmean(g)) ** 2 for v in g) for g in groups)
    assert spread.sd == pytest.approx(math.sqrt(within / 3))
    assert (spread.df, spread.groups, spread.wild) == (3, 2, ())
    assert spread.of_difference(1, 1) == pytest.approx(stats.t.ppf(0.975, 3) * spread.sd * math.sqrt(2))
    assert noise.pooled_spread([1, 1], [None, None]) is None


def test_a_group_that_exploded_does_not_drown_the_others_but_an_ordinary_one_stays() -> None:
    rng = np.random.default_rng(3)
    calm = [float(np.var(rng.normal(size=3), ddof=1)) for _ in range(10)]
    spread = noise.pooled_spread([3] * 11, [*calm, 1e8])
    assert spread is not None
    assert spread.wild == (10,)
    assert spread.sd == pytest.approx(math.sqrt(plain.fmean(calm)))
    left = sum(
        bool(noise.pooled_spread([2] * 20, [float(v) for v in rng.chisquare(1, 20)]).wild)  # type: ignore[union-attr]
        for _ in range(500)
    )
    assert left / 500 < 0.02


@pytest.mark.parametrize(("paired", "shared"), [(True, 0.0), (True, 0.6), (False, 0.0)])
def test_both_tests_together_keep_to_five_percent_and_find_three_deviations(paired: bool, shared: float) -> None:
    rng = np.random.default_rng(11)
    false, found, times = 0, 0, 500
    for _ in range(times):
        seed = rng.normal(size=5) * math.sqrt(shared)
        a, b = (list(seed * paired + rng.normal(size=5) * math.sqrt(1 - shared * paired)) for _ in range(2))
        false += (verdicts.contrast(a, b, paired=paired, noise=None).p_joint or 1) < 0.05
        higher = [v + 3 for v in a]
        found += (verdicts.contrast(higher, b, paired=paired, noise=None).p_joint or 1) < 0.05
    assert false / times <= 0.05
    assert found / times >= 0.95


@pytest.mark.parametrize("test", [ours.welch, ours.paired_t, ours.wilcoxon])
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
