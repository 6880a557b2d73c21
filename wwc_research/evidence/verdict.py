"""The verdict follows from the plan's declared rule: every line that decided it is kept.

In: evidence without a verdict, the rule. Out: a Verdict.
"""

from __future__ import annotations

from wwc_research.catalog import Outcome, VerdictRule
from wwc_research.evidence.evidence import Evidence, Verdict

# Checks that a difference must pass before a page may speak of it.
GATES = ("pre_trends", "treated_clusters", "direction", "balance")


def decide(evidence: Evidence, *, outcome: Outcome, rule: VerdictRule) -> Verdict:
    """The verdict of `rule`.

    - `associated_better` / `associated_worse`: the q-value is below `rule.size` and every gate is passed;
    - `no_effect_as_large`: no difference, and the 95 % interval excludes effects of the planned minimum size
      in either direction, with enough treated clusters to trust it and no failed pre-trend test;
    - `cannot_tell`: everything else, an untested or failed gate included.
    """
    headline = evidence.headline.estimate
    if headline is None or headline["std_error"] is None:
        return Verdict(code="cannot_tell", because=(evidence.headline.failed or "no standard error",))
    results = {check.name: check for check in evidence.checks}
    stopped = tuple(results[name].sentence for name in GATES if name in results and results[name].result != "passed")
    significant = evidence.q_value is not None and evidence.q_value < rule.size
    if significant:
        if stopped:
            return Verdict(
                code="cannot_tell", because=("A difference appears but does not pass every check.", *stopped)
            )
        upward = headline["estimate"] > 0
        better = upward == (outcome.direction == "higher")
        return Verdict(
            code="associated_better" if better else "associated_worse",
            because=("The difference passes every check of the plan.",),
        )
    trusted = [name for name in ("pre_trends", "treated_clusters") if name in results]
    untrusted = tuple(results[name].sentence for name in trusted if results[name].result != "passed")
    limit = evidence.minimum_effect_of_interest
    if untrusted:
        return Verdict(code="cannot_tell", because=untrusted)
    if -limit < headline["ci_low"] and headline["ci_high"] < limit:
        return Verdict(
            code="no_effect_as_large",
            because=("The whole interval lies within the smallest effect of interest, on both sides.",),
        )
    return Verdict(
        code="cannot_tell",
        because=("The interval includes no effect, and effects large enough to matter as well.",),
    )
