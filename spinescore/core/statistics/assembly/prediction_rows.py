"""What predictions are worth: apparently, less their optimism, in other cohorts, and in subgroups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from spinescore.core.statistics.assembly.calibration_rows import calibration_lines, subgroup_rows
from spinescore.core.statistics.assembly.prediction_models import (
    ROUND_THRESHOLDS,
    FrozenPair,
    Sample,
    carry_over,
    freeze_pair,
    predict_pair,
    read_samples,
)
from spinescore.core.statistics.assembly.reclassification_rows import reclassification_rows
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.trials import TOO_LATE, Trial, draw_point
from spinescore.core.statistics.criteria import Criterion, Judgement
from spinescore.core.statistics.estimate import Estimate, clip_to_unit
from spinescore.core.statistics.outcomes import judge_resamples
from spinescore.core.statistics.validation import (
    Optimism,
    correct_optimism,
    draw_resamples,
    estimate_optimism,
)
from spinescore.domain import CurvePoint, Findings, Result

BOUNDED = ("c", "auc", "brier")  # statistics whose intervals are kept within [0, 1]
COMPUTED_ELSEWHERE = {("concordance", "harrell"), ("auc", "delong")}  # apparent, with the models' own rows
FrozenModels = Mapping[tuple[str, str], FrozenPair]


def freeze_models(setting: Setting, endpoint: str) -> dict[tuple[str, str], FrozenPair]:
    """Fit every model to an endpoint of a cohort, to be applied to others; by endpoint and model."""
    return {sample.identity: freeze_pair(sample) for sample in read_samples(setting, endpoint)}


def judge_predictions(setting: Setting, endpoint: str, trained: FrozenModels) -> Findings:
    """Judge each model of an endpoint, without and with PAD, where it was fitted and where it was not.

    Parameters
    ----------
    setting : Setting
    endpoint : str
        Binary or survival.
    trained : mapping
        The models of the primary cohort, from ``freeze_models``.
    """
    results: list[Result] = []
    curves: list[CurvePoint] = []
    for sample in read_samples(setting, endpoint):
        pair = trained[sample.identity]
        at_home = pair.cohort == setting.cohort.name
        trials = [_apparent(sample, pair if at_home else freeze_pair(sample))]
        if not at_home:
            trials.append(_external(sample, pair))
        for trial in trials:
            judgement = _judge(trial)
            results.extend(_rows(trial, judgement))
            curves.extend(_benefit_lines(trial, judgement))
            if trial.validation == "apparent" and setting.study.analysis.bootstraps and not trial.problem:
                rows, line = _correct(trial, judgement)
                results.extend(rows)
                curves.extend(line)
            results.extend(subgroup_rows(trial))
            results.extend(reclassification_rows(trial))
            rows, line = calibration_lines(trial)
            results.extend(rows)
            curves.extend(line)
    return Findings(tuple(results), tuple(curves))


def _apparent(sample: Sample, pair: FrozenPair) -> Trial:
    predictions = [] if pair.problem else predict_pair(sample.outcome, pair, sample.designs)
    return Trial(sample, "apparent", tuple(predictions), pair.problem, pair.notes, pair.last_years)


def _external(sample: Sample, pair: FrozenPair) -> Trial:
    designs, problem = carry_over(pair, sample)
    predictions = [] if problem else predict_pair(sample.outcome, pair, designs)
    notes = (f"fitted in {pair.cohort}", *pair.notes)
    return Trial(sample, "external", tuple(predictions), problem, notes, pair.last_years)


def _judge(trial: Trial) -> Judgement:
    judge, analysis = trial.sample.outcome.judge(), trial.sample.setting.study.analysis
    first = trial.validation == "external" or analysis.bootstraps > 0
    if not trial.problem:
        return judge.estimate(trial.predictions, analysis.conf_level, first=first)
    nothing = Estimate(problem=trial.problem)
    names = [c for c in judge.criteria if c.threshold is None]
    gains = [c.difference for c in names]
    return Judgement((dict.fromkeys(names, nothing),) * 2, {c: nothing for c in gains if c})


def _rows(trial: Trial, judgement: Judgement) -> Iterator[Result]:
    """Yield a judgement's rows without PAD, with it, and of the difference; net benefit at round risks."""
    level = trial.sample.setting.conf_level
    parts = [(judgement.alone[0], False, False), (judgement.alone[-1], True, False)]
    for found, pad, gain in (*parts, (judgement.difference, True, True)):
        for criterion, estimate in found.items():
            if _is_row(trial, criterion):
                kept = Estimate(problem=TOO_LATE) if trial.too_late(criterion) else estimate
                yield make_row(kept, level, **trial.fields(criterion, pad=pad, gain=gain))


def _is_row(trial: Trial, criterion: Criterion) -> bool:
    if criterion.threshold is not None:
        return criterion.threshold in ROUND_THRESHOLDS
    elsewhere = (criterion.analysis.removesuffix("_difference"), criterion.method) in COMPUTED_ELSEWHERE
    return not (elsewhere and trial.validation == "apparent")


def _benefit_lines(trial: Trial, judgement: Judgement) -> Iterator[CurvePoint]:
    """Yield net benefit over thresholds, without PAD and with it, and of treating all."""
    for found, pad in ((judgement.alone[0], False), (judgement.alone[-1], True)):
        for criterion, estimate in found.items():
            if criterion.threshold is None or estimate.value is None or trial.too_late(criterion):
                continue
            yield draw_point(trial, criterion, criterion.threshold, estimate.value, pad=pad)


def _correct(trial: Trial, apparent: Judgement) -> tuple[list[Result], list[CurvePoint]]:
    """Take the optimism out of a judgement; observed risk and the like have none, and no rows."""
    sample, analysis = trial.sample, trial.sample.setting.study.analysis
    names = (sample.setting.cohort.name, *sample.identity)
    resamples = draw_resamples(analysis.seed, names, sample.outcome.size, analysis.bootstraps)
    optimism = estimate_optimism(judge_resamples(sample.outcome, sample.designs), resamples)
    criteria = sample.outcome.judge().criteria
    moved = replace(trial, validation="optimism_corrected")
    rows: list[Result] = []
    kept: list[dict[Criterion, Estimate]] = []
    gains = [c.difference for c in criteria]
    parts = zip((*apparent.alone, apparent.difference), (criteria, criteria, gains), strict=True)
    for k, (found, names_of) in enumerate(parts):
        kept.append({})
        for i, criterion in enumerate(names_of):
            if criterion is None or criterion not in found:
                continue
            at = k * len(criteria) + i
            mean, used = float(optimism.mean[at]), int(optimism.used[at])
            estimate = correct_optimism(found[criterion], mean, used, optimism.drawn)
            estimate = clip_to_unit(estimate) if criterion.statistic in BOUNDED else estimate
            kept[k][criterion] = estimate
            if _is_row(moved, criterion):
                rows.append(_corrected_row(moved, criterion, estimate, optimism, at, pad=k > 0, gain=k > 1))
    return rows, list(_benefit_lines(moved, Judgement(tuple(kept[:2]), kept[2])))


def _corrected_row(
    trial: Trial,
    criterion: Criterion,
    estimate: Estimate,
    optimism: Optimism,
    at: int,
    *,
    pad: bool,
    gain: bool,
) -> Result:
    """Return a corrected row that says what the optimism is, and in how many resamples it was found."""
    fields = trial.fields(criterion, pad=pad, gain=gain)
    used = int(optimism.used[at])
    if estimate.value is not None:
        said = f"optimism {optimism.mean[at]:.4g} in {used} bootstraps"
        fields["note"] = "; ".join(part for part in (said, fields["note"]) if part)
        fields["flags"] = (*fields["flags"], *(("bootstraps_failed",) if used < optimism.drawn else ()))
    return make_row(estimate, trial.sample.setting.conf_level, **fields)
