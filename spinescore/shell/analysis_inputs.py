"""What an analysis depends on, as one fingerprint."""

from __future__ import annotations

import hashlib
import json

from spinescore import __version__
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study


def fingerprint_inputs(warehouse: Warehouse, study: Study, key: ModelKey) -> str:
    """Return the SHA-256 of settings, scores, outcomes, model and version: if equal, so are all numbers."""
    inputs = warehouse.fetch(
        "analyze/inputs", model_id=key.model_id, preprocessing_id=key.preprocessing_id
    ).row(0, named=True)
    parts = [study.fingerprint(), json.dumps(inputs, sort_keys=True), __version__, key.model_id]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
