"""What a database remembers of the rules under which its files were decided."""

from __future__ import annotations

import json
from dataclasses import asdict

from spinescore.core.eligibility.rule_set import RuleSet, Threshold
from spinescore.shell.indexing.rules import default_rules
from spinescore.shell.warehouse import Warehouse

RULES_KEY, LIMITS_KEY, THRESHOLDS_KEY = "rules_id", "rule_limits", "quality_thresholds"


def remember_rules(warehouse: Warehouse, rules: RuleSet) -> None:
    """Record that everything in the database was decided by these rules."""
    warehouse.set_meta(RULES_KEY, rules.rules_id)
    warehouse.set_meta(LIMITS_KEY, repr(rules.limits))
    thresholds = {flag: asdict(threshold) for flag, threshold in rules.quality.items()}
    warehouse.set_meta(THRESHOLDS_KEY, json.dumps(thresholds))


def known_thresholds(warehouse: Warehouse) -> dict[str, Threshold]:
    """Return the thresholds of image quality the database was indexed under, else the shipped ones."""
    stored = warehouse.meta(THRESHOLDS_KEY)
    if stored is None:
        return dict(default_rules().quality)
    return {flag: Threshold(**values) for flag, values in json.loads(stored).items()}
