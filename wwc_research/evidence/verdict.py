"""The verdict follows from the plan's declared rule: every line that decided it is kept.

In: evidence without a verdict, the rule. Out: a Verdict.
"""

from __future__ import annotations

from wwc_research.catalog import Outcome, VerdictRule
from wwc_research.evidence.evidence import Evidence, Verdict

# Checks that a difference must pass before a page may speak of it.
GATES = ("pre_trends", "treated_clusters", "direction", "balance", "one_unit")


def decide(evidence: Evidence, *, outcome: Outcome, rule: VerdictRule) -> Verdict:
    """The verdict of `rule`, from the more cautious inference in `evidence.judged`.

    - `associated_better` / `associated_worse`: the q-value is below `rule.size` and every gate is passed;
    - `no_effect_as_large`: no difference, and the 95 % interval excludes effects of the planned minimum size
      in either direction, with enough treated clusters to trust it and no failed pre-trend test;
    - `cannot_tell`: everything else, an untested or failed gate included.
    """
    values = evidence.judged
    if evidence.headline.estimate is None or values.get("std_error") is None:
        reason = evidence.headline.failed or "There is no standard error."
        return Verdict(code="cannot_tell", because=(reason,), cause="unreliable")
    results = {check.name: check for check in evidence.checks}
    stopped = tuple(results[name].sentence for name in GATES if name in results and results[name].result != "passed")
    if evidence.q_value is not None and evidence.q_value < rule.size:
        if stopped:
            reasons = ("A difference appears but does not pass every check.", *stopped)
            return Verdict(code="cannot_tell", because=reasons, cause="unreliable")
        better = (values["estimate"] > 0) == (outcome.direction == "higher")
        return Verdict(
            code="associated_better" if better else "associated_worse",
            because=("The difference passes every check of the plan.",),
        )
    needed = [results[name] for name in ("pre_trends", "treated_clusters") if name in results]
    untrusted = tuple(check.sentence for check in needed if check.result != "passed")
    if untrusted:
        return Verdict(code="cannot_tell", because=untrusted, cause="unreliable")
    limit = evidence.minimum_effect_of_interest
    if -limit < values["ci_low"] and values["ci_high"] < limit:
        return Verdict(
            code="no_effect_as_large",
            because=("The whole interval lies within the smallest effect of interest, on both sides.",),
        )
    return Verdict(
        code="cannot_tell",
        because=("The interval includes no effect, and effects large enough to matter as well.",),
        cause="imprecise",
    )
