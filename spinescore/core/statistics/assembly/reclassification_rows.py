"""IDI and continuous NRI of adding PAD to a model, where a study asks for them; secondary, without p."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.trials import TOO_LATE, Trial
from spinescore.core.statistics.criteria import Criterion
from spinescore.core.statistics.estimate import Estimate
from spinescore.domain import Result

MEASURES = ("idi", "continuous_nri")


def reclassification_rows(trial: Trial) -> Iterator[Result]:
    """Yield IDI and continuous NRI of Model k + PAD against Model k, at each horizon."""
    setting = trial.sample.setting
    if not setting.study.analysis.reclassification:
        return
    for i, horizon in enumerate(trial.sample.outcome.horizons):
        method = "empirical" if horizon is None else "ipcw"
        criteria = {name: Criterion("reclassification", name, method, horizon) for name in MEASURES}
        late = TOO_LATE if trial.too_late(criteria["idi"]) else None
        if problem := trial.problem or late:
            found = dict.fromkeys(MEASURES, Estimate(problem=problem))
        else:
            risks = [prediction.risk[:, i] for prediction in trial.predictions]
            found = trial.sample.outcome.reclassify(risks[0], risks[1], horizon, setting.conf_level)
        for name, estimate in found.items():
            fields = trial.fields(criteria[name], pad=True, gain=True)
            fields["flags"] = ("secondary", *fields["flags"])
            yield make_row(estimate, setting.conf_level, **fields)
