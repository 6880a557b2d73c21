"""The verdict follows from the plan's declared rule: every line that decided it is kept.

In: evidence without a verdict, the rule. Out: a Verdict with its grade.
"""

from __future__ import annotations

from wwc_research.catalog import Outcome, VerdictRule
from wwc_research.evidence.evidence import Cause, Check, Evidence, Verdict, VerdictCode
from wwc_research.evidence.grade import grade
from wwc_research.messages import message


def decide(evidence: Evidence, *, outcome: Outcome, rule: VerdictRule) -> Verdict:
    """The verdict of `rule`, from the more cautious inference in `evidence.judged`.

    - `improvement` / `harm`: the p-value corrected over the family is below `rule.size` and every check of
      `rule.difference_gates` is passed;
    - `no_effect_larger`: no difference, the 95 % interval excludes effects of the planned smallest size of interest in
      either direction, and every check of `rule.null_gates` is passed;
    - `cannot_tell`: everything else, a check that is failed, open or absent included.

    Checks that do not apply to the outcome (named in `evidence.not_applicable`) stop nothing.
    """
    code, because, cause = _decision(evidence, outcome=outcome, rule=rule)
    return Verdict(code=code, because=because, cause=cause, grade=grade(evidence, code=code, rule=rule))


def _decision(evidence: Evidence, *, outcome: Outcome, rule: VerdictRule) -> tuple[VerdictCode, tuple[str, ...], Cause]:
    values = evidence.judged
    if evidence.headline.estimate is None or values.get("std_error") is None:
        reason = evidence.headline.failed or message("There is no standard error.")
        return "cannot_tell", (reason,), "unreliable"
    corrected = evidence.family_p_value
    if corrected is not None and corrected < rule.size:
        stopped = _stopped(evidence, rule.difference_gates)
        if stopped:
            reasons = (message("A difference appears but does not pass every check."), *stopped)
            return "cannot_tell", reasons, "unreliable"
        better = (values["estimate"] > 0) == (outcome.direction == "higher")
        because = (
            message(
                "The difference passes every check that the plan lets decide, and the correction for all questions "
                "asked."
            ),
            *_doubts(evidence),
        )
        return "improvement" if better else "harm", because, ""
    stopped = _stopped(evidence, rule.null_gates)
    if stopped:
        return "cannot_tell", stopped, "unreliable"
    limit = evidence.minimum_effect_of_interest
    if -limit < values["ci_low"] and values["ci_high"] < limit:
        because = (message("The whole interval lies within the smallest effect of interest, on both sides."),)
        return "no_effect_larger", because, ""
    if values["ci_low"] <= 0 <= values["ci_high"]:
        because = (message("The interval includes no effect, and effects large enough to matter as well."),)
    else:
        because = (message("The difference is significant by itself, but not once corrected for all questions asked."),)
    return "cannot_tell", because, "imprecise"


def _doubts(evidence: Evidence) -> tuple[str, ...]:
    """Which checks that do not decide were failed."""
    failed = [check.asks for check in evidence.checks if check.result == "failed"]
    if not failed:
        return ()
    return (message("Checks that do not decide and were failed: {checks:sentences}", checks=failed),)


def _stopped(evidence: Evidence, gates: tuple[str, ...]) -> tuple[str, ...]:
    """What each gate that is not passed says; a gate that was never put counts as not passed."""
    checks: dict[str, Check] = {check.name: check for check in evidence.checks}
    return tuple(
        checks[name].sentence if name in checks else message("The check '{name}' of the plan was not made.", name=name)
        for name in gates
        if name not in evidence.not_applicable and (name not in checks or checks[name].result != "passed")
    )
