"""Whether a figure's chart is what Vega-Lite's schema allows; the report skips the check for speed."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from altair.vegalite.v6.schema.core import load_schema
from jsonschema import Draft7Validator

from spinescore.core.reporting.document import Figure


def check_chart(figure: Figure) -> None:
    """Hold a figure's specification against the schema of Vega-Lite."""
    check_spec(json.loads(json.dumps(figure.spec)))


def check_spec(spec: dict[str, Any]) -> None:
    """Hold a specification against the schema of Vega-Lite."""
    _validator().validate(spec)


@cache
def _validator() -> Any:
    return Draft7Validator(load_schema())
