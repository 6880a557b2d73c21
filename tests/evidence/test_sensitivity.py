import dataclasses

import numpy as np
import pytest

from tests.design.test_design import design
from wwc_research import catalog
from wwc_research.errors import EstimationError, InputError
from wwc_research.evidence import sensitivity as module
from wwc_research.evidence.randomisation import Lottery
from wwc_research.evidence.sensitivity import Finding, sensitivity
from wwc_research.messages import Message

RULE = dataclasses.replace(
    catalog.plan().sensitivity,
    relative_magnitudes=(0.0, 1.0),
    smoothness_steps=(0.0, 0.5),
    roster_shares=(0.1,),
    roster_draws=5,
)
JUDGED = {"estimate": 0.02, "std_error": 0.01, "ci_low": 0.0004, "ci_high": 0.0396}
NAMES = {"parallel_trends", "pretrend_power", "omitted_variables", "hidden_bias", "e_value", "roster_errors"}


def lottery(times=(-3, -2, 0, 1), *, estimates=None, covariance=None, weights=None):
    lags = [time >= 0 for time in times]
    return Lottery(
        estimate=0.02,
        p_value=0.04,
        std_error=0.01,
        placebo_mean=0.0,
        leads=tuple(time for time in times if time < -1),
        lead_p_value=0.5,
        drift_p_value=0.5,
        draws=99,
        without_one={},
        null_draws=np.zeros(99),
        event_times=tuple(times),
        event_estimates=np.array(times) / 100 if estimates is None else np.array(estimates),
        event_covariance=np.diag([0.01**2] * len(times)) if covariance is None else covariance,
        event_weights=np.array(lags) / max(sum(lags), 1) if weights is None else np.array(weights),
    )


@pytest.fixture(scope="module")
def sample(panel):
    return design("youth_neet").sample(panel)


def put_to_the_test(panel, sample, lots, *, judged=JUDGED, outcome="youth_neet"):
    finding = Finding(judged=judged, lottery=lots, compared=None, headline="imputation")
    return sensitivity(design(outcome), panel, sample=sample, finding=finding, rule=RULE, seed=3)


@pytest.fixture
def asked(monkeypatch):
    """What the analyses of trends were asked, by name; the other analyses are left out."""
    seen = {}

    class Nothing:
        m_bar_breakdown, reason = 0.5, ""

        def as_dict(self):
            return {}

    def keep(name):
        def ask(coefficients, *, weights, **options):
            seen[name] = {"coefficients": coefficients, "weights": weights, **options}
            return Nothing()

        return ask

    def refuse(*_, **__):
        raise EstimationError("not asked here")

    monkeypatch.setattr(module.parallel_trends, "sensitivity", keep("parallel_trends"))
    monkeypatch.setattr(module.pretrend_power, "pretrend_power", keep("pretrend_power"))
    monkeypatch.setattr(module, "roster_errors", refuse)
    monkeypatch.setattr(module, "long_difference", refuse)
    return seen


def test_event_times_beyond_a_gap_are_left_out_on_either_side(panel, sample, asked):
    times = (-6, -5, -3, -2, 0, 1, 3)
    covariance = np.arange(49.0).reshape(7, 7) + np.arange(49.0).reshape(7, 7).T + 500 * np.eye(7)
    put_to_the_test(panel, sample, lottery(times, covariance=covariance))
    for seen in asked.values():
        coefficients = seen["coefficients"]
        assert coefficients.event_times == (-3, -2, 0, 1)
        assert coefficients.base == -1
        assert coefficients.estimates.tolist() == [-0.03, -0.02, 0.0, 0.01]
        assert (coefficients.covariance == covariance[2:6, 2:6]).all()
    assert set(asked) == {"parallel_trends", "pretrend_power"}


def test_the_weights_of_the_event_times_that_are_kept_sum_to_one(panel, sample, asked):
    put_to_the_test(panel, sample, lottery((-2, 0, 1, 3), weights=[0, 0.4, 0.2, 0.4]))
    for seen in asked.values():
        assert seen["weights"] == pytest.approx([2 / 3, 1 / 3])


def test_with_anticipation_the_base_is_earlier_and_what_follows_it_counts_as_after(panel, sample, asked):
    early = dataclasses.replace(sample, anticipation=1)
    put_to_the_test(panel, early, lottery((-4, -3, -1, 0), weights=[0, 0, 0, 1]))
    coefficients = asked["parallel_trends"]["coefficients"]
    assert coefficients.base == -2
    assert coefficients.event_times == (-4, -3, -1, 0)
    assert asked["parallel_trends"]["weights"] == [0, 1]


def test_smoothness_is_asked_in_steps_of_the_error_of_the_last_lead(panel, sample, asked):
    put_to_the_test(panel, sample, lottery(covariance=np.diag([0.05, 0.02, 0.01, 0.03]) ** 2))
    assert asked["parallel_trends"]["smoothness_at"] == pytest.approx([0.0, 0.5 * 0.02])
    assert asked["parallel_trends"]["relative_magnitudes_at"] == (0.0, 1.0)


def test_without_a_period_after_exposure_the_reason_stands_in_place_of_the_numbers(panel, sample, asked):
    found = put_to_the_test(panel, sample, lottery((-3, -2, 1)))
    for name in ("parallel_trends", "pretrend_power"):
        assert "no period after exposure" in found[name]["failed"]
    assert not asked


def test_too_few_lots_for_a_covariance_are_the_reason(panel, sample, asked):
    found = put_to_the_test(panel, sample, lottery(covariance=np.full((4, 4), np.nan)))
    assert "too few lots" in found["parallel_trends"]["failed"]


@pytest.mark.parametrize("error", [EstimationError, InputError])
def test_an_analysis_that_fails_leaves_its_reason_and_the_others_their_numbers(panel, sample, monkeypatch, error):
    def refuse(*_, **__):
        raise error("no such luck")

    monkeypatch.setattr(module, "roster_errors", refuse)
    found = put_to_the_test(panel, sample, lottery())
    assert set(found) == NAMES
    assert found["roster_errors"] == {"failed": "no such luck"}
    assert found["hidden_bias"] == {"failed": "there is no matched comparison to bound"}
    assert all(found[name]["sentence"] for name in NAMES - {"roster_errors", "hidden_bias"})


def test_a_mistake_of_the_program_is_not_taken_for_a_reason(panel, sample, monkeypatch):
    def stumble(*_, **__):
        raise KeyError("column")

    monkeypatch.setattr(module, "roster_errors", stumble)
    with pytest.raises(KeyError):
        put_to_the_test(panel, sample, lottery())


def test_an_interval_that_holds_zero_without_any_violation_breaks_down_at_nothing(panel, sample, asked, monkeypatch):
    ask = module.parallel_trends.sensitivity
    for value, reason, expected in ((None, "", 0.0), (None, "no leads", None), (np.inf, "", module.LARGEST_BREAKDOWN)):

        def answer(*arguments, value=value, reason=reason, **options):
            given = ask(*arguments, **options)
            given.m_bar_breakdown, given.reason = value, reason
            return given

        monkeypatch.setattr(module.parallel_trends, "sensitivity", answer)
        found = put_to_the_test(panel, sample, lottery())
        assert found["parallel_trends"]["breakdown_relative_magnitude"] == expected


def test_wrong_rosters_follow_from_the_seed(panel, sample):
    first, again = (put_to_the_test(panel, sample, lottery()) for _ in range(2))
    assert first["roster_errors"] == again["roster_errors"]
    # what a page says of any analysis, or why there is none, can be said in another language
    said = [text for values in first.values() for text in told(values)]
    assert len(said) > len(NAMES)
    assert not [text for text in said if not isinstance(text, Message)]


def told(values):
    """Every text of plain values that a page shows, at any depth."""
    for name, value in values.items():
        rows = value if isinstance(value, list) else [value]
        if name in ("sentence", "reason", "why", "why_not", "assumed", "failed"):
            yield from (text for text in rows if text)
        else:
            yield from (text for row in rows if isinstance(row, dict) for text in told(row))


def test_shares_have_a_risk_ratio_and_other_scales_are_standardised(panel, sample):
    shares = put_to_the_test(panel, sample, lottery())["e_value"]
    assert not shares["is_approximate"]
    income = design("median_income").sample(panel)
    logged = sensitivity(
        design("median_income"),
        panel,
        sample=income,
        finding=Finding(judged=JUDGED, lottery=lottery(), compared=None, headline="imputation"),
        rule=dataclasses.replace(RULE, roster_draws=2),
        seed=3,
    )["e_value"]
    assert logged["is_approximate"]
