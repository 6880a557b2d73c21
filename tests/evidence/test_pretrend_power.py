import numpy as np
import pytest
from scipy import stats

from wwc_research.errors import EstimationError, InputError
from wwc_research.evidence.event_coefficients import EventCoefficients
from wwc_research.evidence.pretrend_power import drift_seen, pretrend_power

# He and Wang (2017), event study of their figure 2: example_sigma.csv of github jonathandroth/PretrendsPower
HE_AND_WANG = np.array(
    [
        [0.0149547979235649, 0, 0, 0, 0, 0, 0],
        [0.00814208388328552, 0.0103735625743866, 0, 0, 0, 0, 0],
        [0.0047602360136807, 0.00499750673770905, 0.00602407334372401, 0, 0, 0, 0],
        [0.00264218007214367, 0.00314226211048663, 0.00146472698543221, 0.00561735080555081, 0, 0, 0],
        [0.00321049452759326, 0.00363793992437422, 0.00213220552541316, 0.00345605378970504, 0.0103573063388467, 0, 0],
        [0.00244478415697813, 0.00321422982960939, 0.00191951938904822, 0.00273053580895066, 0.00627497583627701,
         0.011508721858263, 0],
        [0.00155121809802949, 0.00211047730408609, 0.000647532287985086, 0.00225659506395459, 0.00503531005233526,
         0.0115978047251701, 0.024637384340167],
    ]
)  # fmt: skip
# R's pretrends rejects beyond 1.96
R_SIZE = 2 * stats.norm.sf(1.96)


@pytest.fixture(scope="module")
def he_and_wang():
    covariance = HE_AND_WANG + np.tril(HE_AND_WANG, -1).T
    return EventCoefficients(estimates=np.zeros(7), covariance=covariance, event_times=(-4, -3, -2, 0, 1, 2, 3))


def scaled(coefficients, factor):
    return EventCoefficients(
        estimates=factor * coefficients.estimates,
        covariance=factor**2 * coefficients.covariance,
        event_times=coefficients.event_times,
    )


def one_lead(error=2.0, shared=0.0):
    covariance = np.array([[error**2, shared], [shared, 1.0]])
    return EventCoefficients(estimates=[0.0, 0.0], covariance=covariance, event_times=(-2, 0))


def test_power_and_bias_are_those_that_r_publishes(he_and_wang):
    # README of github jonathandroth/pretrends at commit 0b92b34: slope_for_power, df_power and df_eventplot
    found = pretrend_power(he_and_wang, pretest="individual", size=R_SIZE)
    assert found.seen_half.slope == pytest.approx(0.06991527, rel=5e-4)  # uniroot stops at 0.4997363 power
    at = drift_seen(he_and_wang, pretest="individual", size=R_SIZE, slope=0.06991527)
    # R's chances carry the error of mvtnorm's default (0.001 allowed); scipy's, asked for 1e-9, gives 0.4997882
    assert at.power == pytest.approx(0.4997363, abs=1e-4)
    assert at.power == pytest.approx(0.4997882, abs=2e-6)
    assert (1 - at.power) / (1 - found.false_alarm) == pytest.approx(0.5671215, abs=3e-4)
    published = (0.09017188, 0.16447429, 0.22994584, 0.29190725)
    for weights, mean in zip(np.eye(4), published, strict=True):
        seen = drift_seen(he_and_wang, weights=weights, pretest="individual", size=R_SIZE, slope=0.06991527)
        assert seen.bias_if_passed == pytest.approx(mean, abs=5e-6)


def test_one_lead_is_the_textbook_case():
    error, shared, slope = 2.0, 0.8, 3.0
    seen = drift_seen(one_lead(error, shared), pretest="individual", slope=slope)
    limit = stats.norm.isf(0.025)
    low, high = -limit + slope / error, limit + slope / error
    passed = stats.norm.cdf(high) - stats.norm.cdf(low)
    assert seen.power == pytest.approx(1 - passed, abs=1e-12)
    # the lead is -slope; cut to the limits its mean moves towards zero, and the lag goes along by regression
    moved = error * (stats.norm.pdf(low) - stats.norm.pdf(high)) / passed
    assert seen.bias == pytest.approx(slope)
    assert seen.bias_if_passed == pytest.approx(slope + shared / error**2 * moved, rel=1e-6)


def test_with_one_lead_both_tests_are_the_same():
    individual, joint = (pretrend_power(one_lead(2.0, 0.8), pretest=kind) for kind in ("individual", "joint"))
    for one, two in ((individual.seen_half, joint.seen_half), (individual.seen_mostly, joint.seen_mostly)):
        assert one.slope == pytest.approx(two.slope, rel=1e-6)
        assert one.bias_if_passed == pytest.approx(two.bias_if_passed, rel=1e-5)
    # 80 % power at 1.96 + 0.84 standard errors, less the other tail
    assert joint.seen_mostly.slope == pytest.approx(2.0 * (stats.norm.isf(0.025) + stats.norm.ppf(0.8)), rel=1e-4)


@pytest.mark.parametrize("pretest", ["individual", "joint"])
def test_power_and_bias_are_those_of_drawn_samples(he_and_wang, pretest):
    slope, draws = 0.08, 400_000
    drift = slope * (np.array(he_and_wang.event_times) + 1)
    sample = np.random.default_rng(3).multivariate_normal(drift, he_and_wang.covariance, size=draws)
    leads = sample[:, :3]
    if pretest == "individual":
        passed = (np.abs(leads) < stats.norm.isf(0.025) * np.sqrt(np.diag(he_and_wang.covariance)[:3])).all(axis=1)
    else:
        inverse = np.linalg.inv(he_and_wang.covariance[:3, :3])
        passed = np.einsum("ij,jk,ik->i", leads, inverse, leads) < stats.chi2.isf(0.05, 3)
    seen = drift_seen(he_and_wang, pretest=pretest, slope=slope)
    effects = sample[passed][:, 3:].mean(axis=1)
    assert seen.power == pytest.approx(1 - passed.mean(), abs=4 * 0.5 / np.sqrt(draws))
    assert seen.bias == pytest.approx(slope * 2.5)
    assert seen.bias_if_passed == pytest.approx(effects.mean(), abs=4 * effects.std() / np.sqrt(len(effects)))


@pytest.mark.parametrize("pretest", ["individual", "joint"])
def test_other_units_move_slopes_and_biases_with_them(he_and_wang, pretest):
    one, two = (pretrend_power(each, pretest=pretest) for each in (he_and_wang, scaled(he_and_wang, 100.0)))
    assert two.seen_half.slope == pytest.approx(100 * one.seen_half.slope, rel=1e-8)
    assert two.seen_mostly.bias_if_passed == pytest.approx(100 * one.seen_mostly.bias_if_passed, rel=1e-8)


@pytest.mark.parametrize("pretest", ["individual", "joint"])
def test_a_drift_down_is_seen_as_well_as_one_up(he_and_wang, pretest):
    up, down = (drift_seen(he_and_wang, pretest=pretest, slope=slope) for slope in (0.05, -0.05))
    assert down.power == pytest.approx(up.power, abs=2e-5)
    assert down.bias_if_passed == pytest.approx(-up.bias_if_passed, rel=1e-3)


def test_the_chances_are_those_asked_for(he_and_wang):
    for pretest in ("individual", "joint"):
        found = pretrend_power(he_and_wang, pretest=pretest)
        assert found.seen_half.power == pytest.approx(0.5, abs=1e-6)
        assert found.seen_mostly.power == pytest.approx(0.8, abs=1e-6)
        assert found.seen_half.slope < found.seen_mostly.slope
    assert pretrend_power(he_and_wang).false_alarm == pytest.approx(0.05)
    assert pretrend_power(he_and_wang, pretest="individual").false_alarm > 0.1


def test_the_sentence_says_what_the_test_would_have_missed(he_and_wang):
    found = pretrend_power(he_and_wang, scale=100, unit="percentage points")
    assert "by 9.6 percentage points a year, a test of the 3 years before exposure" in found.sentence
    assert "by 13 percentage points a year, one time in five" in found.sentence
    assert found.as_dict()["seen_half"]["bias"] == pytest.approx(2.5 * found.seen_half.slope)


def test_many_leads_one_by_one_alarm_too_often_for_a_power_of_one_half():
    study = EventCoefficients(estimates=np.zeros(16), covariance=np.eye(16), event_times=(*range(-16, -1), 0))
    found = pretrend_power(study, pretest="individual")
    assert found.false_alarm == pytest.approx(1 - 0.95**15, abs=1e-6)
    assert found.seen_half is None
    assert "use the joint test" in found.sentence
    assert pretrend_power(study).seen_half is not None


def test_without_leads_or_with_too_many_for_the_covariance_nothing_can_be_told():
    bare = EventCoefficients(estimates=[1.0], covariance=[[1.0]], event_times=(0,))
    root = np.random.default_rng(0).standard_normal((5, 2))
    flat = EventCoefficients(estimates=np.ones(5), covariance=root @ root.T, event_times=(-5, -4, -3, -2, 0))
    for study, said in ((bare, "no estimate before the base"), (flat, "is singular")):
        found = pretrend_power(study)
        assert found.seen_half is None
        assert said in found.reason
        assert found.as_dict()["seen_mostly"] is None
        with pytest.raises(EstimationError, match=said):
            drift_seen(study, slope=1.0)


def test_options_that_cannot_be_are_refused(he_and_wang):
    with pytest.raises(InputError, match="allowed: individual and joint"):
        pretrend_power(he_and_wang, pretest="wald")
    with pytest.raises(InputError, match=r"size = 0\.7"):
        pretrend_power(he_and_wang, size=0.7)
