import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import linprog, minimize

from wwc_research import inference
from wwc_research.errors import EstimationError, InputError
from wwc_research.evidence import conditional_test, parallel_trends
from wwc_research.evidence.event_coefficients import EventCoefficients
from wwc_research.evidence.parallel_trends import (
    accepted,
    original_interval,
    relative_magnitudes,
    sensitivity,
    smoothness,
)

FIGURES = Path(__file__).parents[1] / "figures"
FIRST_YEAR = [1.0, 0.0]


@pytest.fixture(scope="module")
def medicaid():
    table = pd.read_csv(FIGURES / "ehec_coefficients.csv")
    return EventCoefficients(
        estimates=table["estimate"].to_numpy(),
        covariance=table.filter(like="covariance_").to_numpy(),
        event_times=tuple(table["event_time"]),
    )


def published(kind):
    table = pd.read_csv(FIGURES / "ehec_numbers.csv")
    return table.loc[table["kind"] == kind].pivot(index="size", columns="end", values="value").iterrows()


def drawn(seed, *, n_pre=None, n_post=None, base=-1):
    """An event study with random covariance, pure noise plus a clear effect."""
    generator = np.random.default_rng(seed)
    n_pre = n_pre or int(generator.integers(1, 6))
    n_post = n_post or int(generator.integers(1, 5))
    root = generator.standard_normal((n_pre + n_post, n_pre + n_post))
    covariance = root @ root.T + 0.2 * np.eye(n_pre + n_post)
    estimates = generator.multivariate_normal(np.r_[np.zeros(n_pre), np.full(n_post, 9.0)], covariance)
    times = (*range(base - n_pre, base), *range(base + 1, base + 1 + n_post))
    return EventCoefficients(estimates=estimates, covariance=covariance, event_times=times, base=base)


def changed(coefficients, *, factor):
    return EventCoefficients(
        estimates=factor * coefficients.estimates,
        covariance=factor**2 * coefficients.covariance,
        event_times=coefficients.event_times,
        base=coefficients.base,
    )


# --- the published example ---


@pytest.mark.parametrize(
    ("m_bar", "low", "high"),
    # printed by HonestDiD's README (github asheshrambachan/HonestDiD, commit cc8cf88)
    [(0.5, 0.0240, 0.0672), (1.0, 0.0170, 0.0720), (1.5, 0.00824, 0.0797), (2.0, -0.000916, 0.0881)],
)
def test_on_the_grid_of_r_the_set_is_the_one_r_prints_to_every_digit(medicaid, m_bar, low, high):
    error = medicaid.covariance[5, 5] ** 0.5
    grid = np.linspace(-20 * error, 20 * error, 1000)
    inside = grid[accepted(medicaid, effects=grid, weights=FIRST_YEAR, m_bar=m_bar)]
    assert float(f"{inside[0]:.3g}") == low
    assert float(f"{inside[-1]:.3g}") == high


def test_relative_magnitudes_are_the_published_ones_to_the_noise_of_their_simulated_critical_value(medicaid):
    # two printings of the README differ from each other by up to 0.00035 (1,000 draws, a grid of 0.00037)
    for m_bar, row in published("relative_magnitudes"):
        found = relative_magnitudes(medicaid, weights=FIRST_YEAR, m_bar=m_bar)
        assert (found.ci_low, found.ci_high) == pytest.approx((row["lower"], row["upper"]), abs=0.0005)


def test_smoothness_intervals_are_the_published_ones_to_the_noise_of_their_simulated_quantile(medicaid):
    # R draws the quantile of the folded normal a million times: 0.0021 standard errors, of which there is one of 0.0095
    for m, row in published("smoothness"):
        found = smoothness(medicaid, weights=FIRST_YEAR, m=m)
        assert found.ci_low == pytest.approx(row["lower"], abs=8e-5)
        assert found.ci_high == pytest.approx(row["upper"], abs=8e-5 if row["upper"] < 0.1 else 5e-4)


@pytest.mark.parametrize(
    ("weights", "m", "low", "high"),
    # diff-diff 3.13.0, _compute_optimal_flci, which works to 4e-7 by grid; exact quantile of the folded normal
    [
        ([1.0, 0.0], 0.0, 0.025971432799148583, 0.060715275229684035),
        ([1.0, 0.0], 0.01, 0.013174829067670805, 0.07868430798511056),
        ([1.0, 0.0], 0.03, -0.007164829727310827, 0.10073786508514562),
        ([0.5, 0.5], 0.002, 0.03281453047414935, 0.07965666950707363),
        ([0.5, 0.5], 0.02, -0.008794569290058118, 0.12546658948594103),
        ([0.0, 1.0], 0.01, 0.009380804280723014, 0.12774171715406973),
    ],
)
def test_smoothness_intervals_are_those_of_another_package(medicaid, weights, m, low, high):
    found = smoothness(medicaid, weights=weights, m=m)
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=5e-7)


def shortcut(coefficients, *, weights, m_bar):
    """The tempting interval: the largest step as estimated is taken for the true one."""
    _, low, high = original_interval(coefficients, weights=weights)
    steps = np.diff(np.append(coefficients.estimates[: coefficients.n_pre], 0.0))
    reach = m_bar * np.abs(steps).max() * np.abs(np.cumsum(weights[::-1])).sum()
    return low - reach, high + reach


def test_the_shortcut_that_takes_the_estimated_step_for_the_true_one_is_narrower(medicaid):
    low, high = shortcut(medicaid, weights=FIRST_YEAR, m_bar=2)
    assert (low, high) == pytest.approx((0.0113, 0.0816), abs=0.001)
    found = relative_magnitudes(medicaid, weights=FIRST_YEAR, m_bar=2)
    assert low > 0 > found.ci_low
    assert found.ci_high > high + 0.005


# --- coverage ---


def test_the_set_covers_at_the_edge_of_what_is_allowed_and_the_shortcut_does_not():
    generator = np.random.default_rng(5)
    truth, m_bar, draws = np.array([-1.0, 2.0, 4.0]), 2.0, 800
    covariance = np.diag([1.0, 0.3, 0.3]) ** 2 + 0.02
    estimates = generator.multivariate_normal(truth, covariance, size=draws)
    hits = np.zeros((2, draws))
    one = EventCoefficients(estimates=estimates[0], covariance=covariance, event_times=(-2, 0, 1))
    moments, _, _ = parallel_trends._step_bounds(one, weight=np.array(FIRST_YEAR), m_bar=m_bar)
    critical = moments.critical_values()
    for place, row in enumerate(estimates):
        study = EventCoefficients(estimates=row, covariance=covariance, event_times=(-2, 0, 1))
        inside = moments.accepted(
            np.zeros((2, 1)), estimate=row[1], steps=np.array([-row[0], row[0]]), critical=critical
        )
        low, high = shortcut(study, weights=FIRST_YEAR, m_bar=m_bar)
        hits[:, place] = inside.any(), low <= 0 <= high
    ours, theirs = hits.mean(axis=1)
    assert ours >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / draws)
    assert theirs < 0.85


def test_smoothness_intervals_cover_at_the_edge_of_what_is_allowed(medicaid):
    generator = np.random.default_rng(8)
    m, times = 0.01, np.array(medicaid.event_times) + 1.0
    truth = 0.004 * times + np.where(times > 0, m * times * (times + 1) / 2, 0)
    hits = []
    for row in generator.multivariate_normal(truth, medicaid.covariance, size=60):
        study = EventCoefficients(estimates=row, covariance=medicaid.covariance, event_times=medicaid.event_times)
        for method in ("flci", "c_lf"):
            found = smoothness(study, weights=FIRST_YEAR, m=m, method=method)
            hits.append(found.ci_low <= 0 <= found.ci_high)
    assert np.mean(hits) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 60)


# --- the same test by a second road: linear programs ---


def by_linear_programs(moments, nuisance, covariance, *, critical):
    """Whether the hybrid test rejects E[moments - nuisance d] <= 0: Andrews, Roth and Pakes (2023), algorithm 1."""
    errors = np.sqrt(np.diag(covariance))
    equal = np.vstack([errors, nuisance.T])
    one = np.r_[1.0, np.zeros(nuisance.shape[1])]

    def largest(at):
        solved = linprog(-at, A_eq=equal, b_eq=one, method="highs-ds")
        return -solved.fun, solved.x

    statistic, vertex = largest(moments)
    if statistic > critical:
        return True
    variance = vertex @ covariance @ vertex
    if statistic <= 0 or variance < 1e-16:
        return False
    slope = covariance @ vertex / variance
    rest = moments - slope * statistic

    def edge(start):
        at = start
        for _ in range(60):
            value, other = largest(rest + slope * at)
            if abs(value - at) < 1e-9:
                return at
            at = (other @ rest) / (1 - other @ slope)
        raise AssertionError("no end found")

    spread = np.sqrt(variance)
    low = edge(statistic - 60 * spread) / spread
    high = min(edge(statistic + 60 * spread), critical) / spread
    share = (stats.norm.sf(statistic / spread) - stats.norm.sf(high)) / (stats.norm.sf(low) - stats.norm.sf(high))
    return share < conditional_test.SECOND_STEP


def programs(coefficients, rows, *, bound, weights, effect):
    """Moments without nuisance of rows @ violations <= bound, at one effect."""
    n_pre, n_post = coefficients.n_pre, coefficients.n_post
    post = rows[:, n_pre:]
    others = np.linalg.svd(np.atleast_2d(weights))[2][1:].T
    along = post @ (np.array(weights) / np.dot(weights, weights))
    moments = rows @ coefficients.estimates - bound - along * effect
    return moments, post @ others if n_post > 1 else np.zeros((len(rows), 0)), rows @ coefficients.covariance @ rows.T


@pytest.mark.parametrize(("seed", "n_pre", "n_post"), [(1, 2, 3), (4, 1, 2), (9, 3, 1)])
def test_relative_magnitudes_end_where_the_linear_programs_say(seed, n_pre, n_post):
    study, m_bar = drawn(seed, n_pre=n_pre, n_post=n_post), 0.7
    weights = np.random.default_rng(seed).uniform(0.2, 1, n_post)
    found = relative_magnitudes(study, weights=weights.tolist(), m_bar=m_bar)
    bounds, _, _ = parallel_trends._step_bounds(study, weight=weights, m_bar=m_bar)
    change = np.delete(np.diff(np.eye(n_pre + n_post + 1), axis=0), n_pre, axis=1)
    lead_steps = np.concatenate([change[:n_pre], -change[:n_pre]])

    def inside(effect):
        for lead, critical in zip(lead_steps, bounds.critical_values(), strict=True):
            rows = np.concatenate([change[n_pre:], -change[n_pre:]]) - m_bar * lead
            if not by_linear_programs(
                *programs(study, rows, bound=0.0, weights=weights, effect=effect), critical=critical
            ):
                return True
        return False

    nudge = 1e-4 * (found.ci_high - found.ci_low)
    for end, outwards in ((found.ci_low, -nudge), (found.ci_high, nudge)):
        assert inside(end - outwards)
        assert not inside(end + outwards)


@pytest.mark.parametrize(("seed", "n_pre", "n_post", "m"), [(2, 2, 3, 0.4), (3, 1, 2, 2.0), (6, 3, 4, 0.05)])
def test_smoothness_by_the_hybrid_test_ends_where_the_linear_programs_say(seed, n_pre, n_post, m):
    study = drawn(seed, n_pre=n_pre, n_post=n_post)
    weights = np.random.default_rng(seed).uniform(-0.3, 1, n_post)
    found = smoothness(study, weights=weights.tolist(), m=m, method="c_lf")
    bends = np.delete(np.diff(np.eye(n_pre + n_post + 1), n=2, axis=0), n_pre, axis=1)[n_pre - 1 :]
    rows = np.concatenate([bends, -bends])
    load = np.linalg.solve(bends[:, n_pre:].T, weights)
    errors = np.sqrt(np.diag(bends @ study.covariance @ bends.T))
    spread = np.sqrt(load @ bends @ study.covariance @ bends.T @ load) / (np.abs(load) @ errors)
    critical = spread * stats.norm.isf(conditional_test.FIRST_STEP / 2)
    nudge = 1e-4 * (found.ci_high - found.ci_low)
    for end, outwards in ((found.ci_low, -nudge), (found.ci_high, nudge)):
        for effect, rejected in ((end - outwards, False), (end + outwards, True)):
            moments = programs(study, rows, bound=m, weights=weights, effect=effect)
            assert by_linear_programs(*moments, critical=critical) == rejected


@pytest.mark.parametrize("m_bar", [0.0, 0.5, 3.0])
def test_the_critical_value_is_the_quantile_that_drawing_gives(m_bar):
    study = drawn(3, n_pre=2, n_post=3)
    moments, _, _ = parallel_trends._step_bounds(study, weight=np.array([0.2, 0.3, 0.5]), m_bar=m_bar)
    draws = np.random.default_rng(0).standard_normal((200_000, 4))
    for critical, covariance in zip(moments.critical_values(), moments._covariance(), strict=True):
        values, vectors = np.linalg.eigh(covariance)
        largest = (draws @ (vectors * np.sqrt(np.maximum(values, 0))).T).max(axis=1)
        share = (largest > critical).mean()
        assert share == pytest.approx(conditional_test.FIRST_STEP, abs=4 * np.sqrt(0.005 / 200_000))


def test_no_other_combination_of_the_estimates_gives_a_shorter_interval():
    study, m = drawn(11, n_pre=4, n_post=2), 0.3
    found = smoothness(study, weights=[0.5, 0.5], m=m)
    ahead = np.array([-4.0, -3.0, -2.0, -1.0])

    def length(free):
        lead = np.append(free, (1.5 + ahead[:3] @ free))  # the last undoes a straight drift
        whole = np.r_[lead, 0.5, 0.5]
        bends = [np.maximum(-ahead - place, 0) @ lead for place in (1, 2, 3)]
        bias = m * (np.abs(bends).sum() + 1.5 + 0.5)
        return np.diff(inference.bias_aware_interval(0.0, np.sqrt(whole @ study.covariance @ whole), bias))[0]

    best = min(
        minimize(length, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-10}).fun
        for start in (np.zeros(3), np.ones(3), -np.ones(3))
    )
    assert found.ci_high - found.ci_low == pytest.approx(best, rel=1e-5)
    assert found.ci_high - found.ci_low <= best * (1 + 1e-9)


@pytest.mark.parametrize("bias", [0.0, 0.3, 2.0, 5.9, 6.1, 40.0])
def test_an_interval_aware_of_bias_covers_at_its_worst(bias):
    low, high = inference.bias_aware_interval(0.0, 2.0, 2.0 * bias)
    assert low == -high
    assert stats.norm.cdf(high, 2 * bias, 2) - stats.norm.cdf(low, 2 * bias, 2) == pytest.approx(0.95, abs=1e-9)
    assert np.isnan(inference.bias_aware_interval(0.0, 0.0, 1.0)).all()


# --- laws ---


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1000.0, 1e-4, -1.0])
def test_other_units_and_a_turned_sign_move_the_intervals_with_them(seed, factor):
    study = drawn(seed)
    other = changed(study, factor=factor)
    for one, two in (
        (relative_magnitudes(study, m_bar=0.8), relative_magnitudes(other, m_bar=0.8)),
        (smoothness(study, m=0.5), smoothness(other, m=abs(factor) * 0.5)),
        (smoothness(study, m=0.5, method="c_lf"), smoothness(other, m=abs(factor) * 0.5, method="c_lf")),
    ):
        ends = sorted((factor * one.ci_low, factor * one.ci_high))
        assert [two.ci_low, two.ci_high] == pytest.approx(ends, rel=1e-5, abs=1e-5 * (ends[1] - ends[0]))


@pytest.mark.parametrize("seed", range(4))
def test_allowing_more_never_narrows_an_interval(seed):
    study = drawn(seed)
    for rows in (
        [relative_magnitudes(study, m_bar=size) for size in np.linspace(0, 3, 5)],
        [smoothness(study, m=size) for size in np.linspace(0, 3, 5)],
        [smoothness(study, m=size, method="c_lf") for size in np.linspace(0, 3, 5)],
    ):
        for narrow, wide in itertools.pairwise(rows):
            slack = 1e-7 * (wide.ci_high - wide.ci_low)
            assert wide.ci_high - wide.ci_low >= narrow.ci_high - narrow.ci_low - slack
    nested = [relative_magnitudes(study, m_bar=size) for size in (0, 0.3, 1, 2)]
    assert all(
        wide.ci_low <= narrow.ci_low and narrow.ci_high <= wide.ci_high for narrow, wide in itertools.pairwise(nested)
    )


@pytest.mark.parametrize("seed", range(4))
def test_without_a_violation_the_interval_is_the_original_one(seed):
    study = drawn(seed)
    _, low, high = original_interval(study)
    found = relative_magnitudes(study, m_bar=0.0)
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), rel=1e-7)


@pytest.mark.parametrize("method", ["flci", "c_lf"])
def test_a_straight_drift_does_not_move_the_interval_around_a_straight_drift(method):
    study = drawn(7, n_pre=4, n_post=3)
    drifted = EventCoefficients(
        estimates=study.estimates + 5.0 * (np.array(study.event_times) + 1),
        covariance=study.covariance,
        event_times=study.event_times,
    )
    one, two = (smoothness(each, m=0.2, method=method) for each in (study, drifted))
    assert (two.ci_low, two.ci_high) == pytest.approx((one.ci_low, one.ci_high), rel=1e-9)


def test_the_ends_are_where_effects_stop_being_accepted(medicaid):
    found = relative_magnitudes(medicaid, m_bar=1.0)
    effects = np.array([found.ci_low, found.ci_high]) + 1e-9 * np.array([[1, -1], [-1, 1]])
    assert accepted(medicaid, effects=effects[0], m_bar=1.0).tolist() == [True, True]
    assert accepted(medicaid, effects=effects[1], m_bar=1.0).tolist() == [False, False]


# --- the whole analysis ---


def test_zero_is_outside_up_to_the_breakdown_values_and_inside_beyond(medicaid):
    found = sensitivity(medicaid, weights=FIRST_YEAR, scale=100, unit="percentage points")
    assert 1.9 < found.m_bar_breakdown < 2.0  # published: about 2
    assert 0.02 < found.m_breakdown < 0.03  # published: about 0.03, to the nearest hundredth above
    for share, outside in ((0.999, True), (1.001, False)):
        size = share * found.m_bar_breakdown
        assert relative_magnitudes(medicaid, weights=FIRST_YEAR, m_bar=size).excludes_zero is outside
        assert smoothness(medicaid, weights=FIRST_YEAR, m=share * found.m_breakdown).excludes_zero is outside
    assert "1.95 times" in found.sentence
    assert "2.3 percentage points" in found.sentence
    assert [row.kind for row in found.rows] == ["relative_magnitudes"] * 7 + ["smoothness"] * 4
    assert found.as_dict()["rows"][0]["excludes_zero"] is True


def test_a_finding_that_is_none_has_no_breakdown_value(medicaid):
    null = EventCoefficients(
        estimates=np.r_[medicaid.estimates[:5], 0.004, -0.002],
        covariance=medicaid.covariance,
        event_times=medicaid.event_times,
    )
    found = sensitivity(null, relative_magnitudes_at=[1.0], smoothness_at=[0.0])
    assert found.m_bar_breakdown is None
    assert "includes zero even if the groups would have moved exactly alike" in found.sentence
    assert len(found.rows) == 2


def test_a_finding_far_beyond_all_drift_has_no_largest_violation():
    study = EventCoefficients(estimates=[1e-6, 2e-6, 1.0], covariance=1e-12 * np.eye(3), event_times=(-3, -2, 0))
    found = sensitivity(study, relative_magnitudes_at=[1.0], smoothness_at=[0.0])
    assert found.m_bar_breakdown == found.m_breakdown == np.inf
    assert found.as_dict()["m_bar_breakdown"] is None
    assert "whatever multiple" in found.sentence
    assert "No bend in a straight drift that was tried" in found.sentence


def test_a_finding_that_a_straight_drift_explains_is_said_to_be_one(medicaid):
    drifted = EventCoefficients(
        estimates=0.02 * (np.array(medicaid.event_times) + 1.0),
        covariance=medicaid.covariance,
        event_times=medicaid.event_times,
    )
    found = sensitivity(drifted, scale=100, unit="points", relative_magnitudes_at=[1.0], smoothness_at=[0.0])
    assert found.m_bar_breakdown < 1
    assert found.m_breakdown is None
    assert "gone on in a straight line, the interval would be -1.88 to +1.88 points and include zero" in found.sentence


def test_an_effect_without_variance_is_refused():
    covariance = np.eye(3)
    covariance[1:, 1:] = 1.0
    study = EventCoefficients(estimates=[0.0, 1.0, 2.0], covariance=covariance, event_times=(-2, 0, 1))
    for refused in (
        sensitivity,
        original_interval,
        lambda study, weights: relative_magnitudes(study, weights=weights, m_bar=1),
    ):
        with pytest.raises(EstimationError, match="no variance"):
            refused(study, weights=[1.0, -1.0])


def test_without_leads_nothing_can_be_told(medicaid):
    bare = medicaid.nearest(0)
    found = sensitivity(bare)
    assert found.rows == ()
    assert found.reason == found.sentence
    assert "no estimate before the base period -1" in found.reason
    assert found.ci_low < found.estimate < found.ci_high
    for refused in (lambda: relative_magnitudes(bare, m_bar=1), lambda: smoothness(bare, m=1)):
        with pytest.raises(EstimationError, match="no estimate before the base"):
            refused()


def test_one_lead_is_enough():
    found = sensitivity(drawn(2, n_pre=1, n_post=3))
    assert found.n_leads == 1
    assert all(np.isfinite([row.ci_low, row.ci_high]).all() for row in found.rows)


def test_only_the_nearest_leads_are_used_where_that_is_asked(medicaid):
    found = sensitivity(medicaid, n_leads=2, relative_magnitudes_at=[1.0], smoothness_at=[0.0])
    near = medicaid.nearest(2)
    assert near.event_times == (-3, -2, 0, 1)
    assert found.n_leads == 2
    assert found.rows[0] == relative_magnitudes(near, m_bar=1.0)


def test_the_years_of_anticipation_have_no_weight_but_drift_too():
    study = drawn(5, n_pre=3, n_post=4, base=-2)
    assert study.weights().tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    shifted = EventCoefficients(
        estimates=study.estimates,
        covariance=study.covariance,
        event_times=tuple(time + 1 for time in study.event_times),
    )
    assert relative_magnitudes(study, m_bar=1) == relative_magnitudes(shifted, weights=study.weights(), m_bar=1)


def test_the_input_is_never_changed():
    study = drawn(1, n_pre=3, n_post=2)
    before = study.estimates.copy(), study.covariance.copy()
    sensitivity(study, relative_magnitudes_at=[1.0], smoothness_at=[0.1])
    assert np.array_equal(before[0], study.estimates)
    assert np.array_equal(before[1], study.covariance)


def test_all_faults_of_the_coefficients_are_named_at_once():
    covariance = np.array([[1.0, 0.5, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(InputError) as refused:
        EventCoefficients(estimates=[1.0, np.nan, 2.0], covariance=covariance, event_times=(-4, -2, 0))
    text = str(refused.value)
    assert "at event times -2 are not finite" in text
    assert "not symmetric" in text
    assert "event times -3 are missing" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event_times": (-2, -1)}, "event time -1 is the base"),
        ({"event_times": (0, -2)}, "do not rise"),
        ({"event_times": (-3, -2)}, "no effect to bound"),
        ({"estimates": [1.0]}, "give one a time"),
        ({"covariance": np.ones((3, 3))}, r"needs \(2, 2\)"),
        ({"covariance": np.array([[1.0, 2.0], [2.0, 1.0]])}, "negative eigenvalue"),
        ({"covariance": np.zeros((2, 2))}, "not above zero"),
        ({"covariance": np.full((2, 2), np.inf)}, "not finite"),
    ],
)
def test_coefficients_that_cannot_be_are_refused(changes, said):
    given = {"estimates": [1.0, 2.0], "covariance": np.eye(2), "event_times": (-2, 0), **changes}
    with pytest.raises(InputError, match=said):
        EventCoefficients(**given)


def test_options_that_cannot_be_are_refused(medicaid):
    for refused, said in (
        (lambda: relative_magnitudes(medicaid, m_bar=-1), "m_bar = -1"),
        (lambda: smoothness(medicaid, m=np.nan), "m = nan"),
        (lambda: smoothness(medicaid, m=1, method="exact"), "allowed: flci and c_lf"),
        (lambda: relative_magnitudes(medicaid, weights=[1.0], m_bar=1), "one finite number for each"),
        (lambda: original_interval(medicaid, weights=[0.0, 0.0]), "not all zero"),
    ):
        with pytest.raises(InputError, match=said):
            refused()


def test_a_singular_covariance_of_the_leads_is_named():
    root = np.random.default_rng(0).standard_normal((6, 3))
    study = EventCoefficients(estimates=np.ones(6), covariance=root @ root.T, event_times=(-6, -5, -4, -3, -2, 0))
    with pytest.raises(EstimationError, match="covariance of the leads is singular"):
        smoothness(study, m=0.1)
