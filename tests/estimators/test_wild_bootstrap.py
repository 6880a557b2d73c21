"""The wild cluster bootstrap against every draw refitted with dummies, against wildboottest, and its own laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wwc_research import inference
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import linear
from wwc_research.estimators.linear import ErrorModel
from wwc_research.estimators.wild_bootstrap import POINTS, wild_cluster_bootstrap


@pytest.fixture
def panel() -> dict[str, np.ndarray]:
    """24 units in 8 clusters over 5 periods; the numbers that were put to wildboottest."""
    generator = np.random.default_rng(4)
    unit, time = np.repeat(np.arange(24), 5), np.tile(np.arange(5), 24)
    cluster = unit % 8
    x = ((unit % 5 == 0) & (time >= 2)).astype(float)
    z = generator.normal(size=120)
    y = generator.normal(size=120) + generator.normal(size=8)[cluster] * time * 0.5 + x * 0.6 + z
    return {
        "unit": unit,
        "time": time,
        "cluster": cluster,
        "X": np.column_stack([x, z]),
        "y": y,
        "w": np.exp(generator.normal(size=120)),
    }


def bootstrap(panel, *, effects=(), **options):
    return wild_cluster_bootstrap(
        panel["y"],
        options.pop("X", panel["X"]),
        column=0,
        clusters=options.pop("clusters", panel["cluster"]),
        effects=tuple(panel[name] for name in effects),
        generator=options.pop("generator", np.random.default_rng(0)),
        **options,
    )


def refitted(panel, *, effects, w, null, points=(-1.0, 1.0), clusters=None):
    """t of the data and the exact p-value, each draw a full weighted regression on all dummies."""
    cluster = panel["cluster"] if clusters is None else clusters
    root = np.sqrt(w)
    dummies = [np.eye(panel[name].max() + 1)[panel[name]] for name in effects]
    design, y = np.column_stack([panel["X"], *dummies]) * root[:, None], panel["y"] * root
    solve = np.linalg.pinv(design)

    def t(outcome):
        coefficients = solve @ outcome
        scores = np.bincount(cluster, weights=solve[0] * (outcome - design @ coefficients))
        return (coefficients[0] - null) / np.sqrt((scores**2).sum())

    others = design[:, 1:]
    rest = y - design[:, 0] * null
    residuals = rest - others @ (np.linalg.pinv(others) @ rest)
    real = t(y)
    draws = itertools.product(points, repeat=cluster.max() + 1)
    drawn = np.array([t(y - residuals + residuals * np.array(draw)[cluster]) for draw in draws])
    return real, np.mean(np.abs(drawn) >= abs(real) * (1 - 1e-9))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("effects", [("unit", "time"), ("time",), ("unit",)])
@pytest.mark.parametrize("null", [0.0, 0.8])
def test_enumerated_it_equals_refitting_every_draw_with_all_effects_as_dummies(panel, weighted, effects, null):
    w = panel["w"] if weighted else np.ones(120)
    found = bootstrap(panel, effects=effects, weights=w, null=null)
    real, p_value = refitted(panel, effects=effects, w=w, null=null)
    assert found.is_enumerated
    assert found.draws == 256
    assert found.statistic == pytest.approx(real, rel=1e-10)
    assert found.p_value == p_value


def test_effects_that_cross_the_clusters_are_refitted_too(panel):
    cluster = panel["time"]  # units cross these clusters, periods are nested in them
    found = bootstrap(panel, effects=("unit", "time"), clusters=cluster)
    real, p_value = refitted(panel, effects=("unit", "time"), w=np.ones(120), null=0.0, clusters=cluster)
    assert (found.statistic, found.p_value) == (pytest.approx(real, rel=1e-9), p_value)


def test_six_point_draws_are_enumerated_where_there_are_few(panel):
    cluster = panel["unit"] % 3
    found = bootstrap(panel, effects=("time",), clusters=cluster, weights_kind="webb")
    _, p_value = refitted(panel, effects=("time",), w=np.ones(120), null=0.0, points=POINTS["webb"], clusters=cluster)
    assert (found.draws, found.p_value) == (216, p_value)


@pytest.mark.parametrize(
    ("effects", "constant", "theirs", "ties"),
    [((), True, 0.0390625, 2), (("time",), False, 0.0703125, 0), (("unit", "time"), False, 0.375, 2)],
)
def test_the_enumerated_p_values_are_those_of_wildboottest(panel, effects, constant, theirs, ties):
    """wildboottest 0.3.2 on `y ~ x + z` with C(unit), C(time) as named; it counts |t*| > |t|, so that where rounding
    puts the two draws that are the data themselves on the low side its p-value is 2/256 lower."""
    X = np.column_stack([panel["X"], np.ones(120)]) if constant else panel["X"]
    assert bootstrap(panel, effects=effects, X=X).p_value == theirs + ties / 256


def test_the_interval_ends_where_the_p_value_crosses_the_size(panel):
    found = bootstrap(panel, effects=("time",), level=0.9)
    for end, outwards in ((found.ci_low, -1), (found.ci_high, 1)):
        assert bootstrap(panel, effects=("time",), null=end - outwards * 1e-4).p_value >= 0.1
        assert bootstrap(panel, effects=("time",), null=end + outwards * 1e-4).p_value < 0.1


def test_too_few_clusters_to_reject_anything_leave_the_interval_open(panel):
    found = bootstrap(panel, effects=("time",), clusters=panel["unit"] % 4)
    assert found.p_value >= 2 / 16
    assert (found.ci_low, found.ci_high) == (-np.inf, np.inf)


@pytest.fixture
def many() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(9)
    unit, time = np.repeat(np.arange(200), 6), np.tile(np.arange(6), 200)
    x = ((unit < 70) & (time >= 3)).astype(float)[:, None]
    y = generator.normal(size=1200) + generator.normal(size=200)[unit] + 0.1 * x[:, 0]
    return {"unit": unit, "time": time, "cluster": unit // 2, "X": x, "y": y}


@pytest.mark.parametrize("weights_kind", ["rademacher", "webb"])
@pytest.mark.parametrize("sides", ["symmetric", "equal_tailed"])
def test_with_many_clusters_it_agrees_with_cluster_robust_t(many, weights_kind, sides):
    effects = (many["unit"], many["time"])
    fit = linear.fit(many["y"], many["X"], effects=effects, errors=ErrorModel(clusters=(many["cluster"],)))
    found = bootstrap(many, effects=("unit", "time"), weights_kind=weights_kind, sides=sides)
    low, high = inference.confidence_interval(fit.coefficients[0], fit.std_errors[0], fit.df)
    assert not found.is_enumerated
    assert found.p_value == pytest.approx(inference.p_value(fit.coefficients[0], fit.std_errors[0], fit.df), abs=0.03)
    assert (found.ci_low, found.ci_high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


def test_the_same_seed_gives_the_same_draws_and_scale_and_row_order_change_no_p_value(many):
    one = bootstrap(many, effects=("unit", "time"), draws=999)
    assert bootstrap(many, effects=("unit", "time"), draws=999) == one
    order = np.random.default_rng(1).permutation(1200)
    turned = {name: values[order] for name, values in many.items()} | {"y": -50 * many["y"][order] + 7}
    found = bootstrap(turned, effects=("unit", "time"), draws=999)
    assert found.p_value == one.p_value
    assert (found.ci_low, found.ci_high) == (pytest.approx(-50 * one.ci_high), pytest.approx(-50 * one.ci_low))


def test_the_p_value_counts_the_data_as_one_draw(many):
    strong = {**many, "y": many["y"] + 5 * many["X"][:, 0]}
    assert bootstrap(strong, effects=("unit", "time"), draws=99).p_value == 1 / 100


def test_a_redundant_regressor_changes_nothing(many):
    X = np.column_stack([many["X"], many["time"], np.sin(many["cluster"])])
    one, other = (bootstrap(many, effects=("unit", "time"), draws=199, X=x) for x in (many["X"], X))
    assert other.p_value == one.p_value


def test_residuals_of_zero_leave_all_undefined(many):
    exact = {**many, "y": many["X"][:, 0] + many["unit"]}
    found = bootstrap(exact, effects=("unit", "time"), draws=99)
    assert found.estimate == pytest.approx(1)
    assert np.isnan([found.p_value, found.ci_low, found.ci_high, found.statistic]).all()


def test_it_says_what_it_cannot_do(many):
    with pytest.raises(InputError, match="5 faults") as caught:
        wild_cluster_bootstrap(
            many["y"],
            many["X"],
            column=1,
            clusters=many["cluster"],
            generator=np.random.default_rng(0),
            draws=0,
            weights_kind="mammen",
            sides="left",
            level=95,
        )
    assert "allowed: rademacher, webb" in str(caught.value)
    with pytest.raises(EstimationError, match="one cluster"):
        bootstrap(many, clusters=np.zeros(1200, dtype=int))
    with pytest.raises(EstimationError, match="explained wholly"):
        bootstrap(many, effects=("unit", "time"), X=many["time"][:, None] * 1.0)
