"""The default rules: what scanners really write, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.imaging.eligibility import DEFAULT_RULES, decide


def header(**fields: str) -> dict[str, str]:
    empty = dict.fromkeys(
        ("image_type", "view_position", "body_part", "protocol_name", "view_text", "any_text"), ""
    )
    return {"modality": "CR"} | empty | fields


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"protocol_name": "LVA", "any_text": "DXA Exam | DXA Images | LVA"}, "vfa"),
        ({"modality": "OT", "view_text": "VFA lateral", "image_type": "DERIVED\\SECONDARY"}, "vfa"),
        ({"view_position": "LL", "body_part": "LSPINE"}, "radiograph"),
        ({"modality": "DX", "view_position": "LATERAL", "body_part": "TSPINE"}, "radiograph"),
        ({"view_position": "LAT", "any_text": "Lumbar spine"}, "radiograph"),
        ({"any_text": "LWS seitlich Wirbelsaeule"}, "radiograph"),
        ({"any_text": "요추 측면"}, "radiograph"),
        ({"body_part": "LSPINE", "any_text": "lateral"}, "radiograph"),
    ],
)
def test_ours_are_let_in(fields: dict[str, str], kind: str) -> None:
    assert decide(header(**fields)).kind == kind


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"protocol_name": "AP Spine", "any_text": "DXA Exam | DXA Images | AP Spine"}, "view_not_lateral"),
        ({"any_text": "DXA Exam"}, "view_unknown"),
        ({"protocol_name": "Left Femur", "any_text": "DXA with VFA | Left Femur"}, "view_not_lateral"),
        ({"protocol_name": "VFA AP", "view_text": "VFA AP", "any_text": "VFA AP"}, "view_not_lateral"),
        ({"modality": "CT", "body_part": "LSPINE"}, "modality"),
        ({"view_position": "AP", "body_part": "LSPINE"}, "view_not_lateral"),
        ({"view_position": "AP", "body_part": "LSPINE", "any_text": "L-spine lateral"}, "view_conflict"),
        ({"view_position": "LL", "body_part": "LSPINE", "any_text": "L-spine AP"}, "view_conflict"),
        ({"view_position": "LATERAL", "body_part": "CHEST"}, "body_part"),
        ({"body_part": "LSPINE"}, "view_unknown"),
        ({"image_type": "DERIVED\\PRIMARY", "view_position": "LL", "body_part": "LSPINE"}, "derived"),
        ({}, "view_unknown"),
    ],
)
def test_others_are_left_out_with_a_reason(fields: dict[str, str], reason: str) -> None:
    decision = decide(header(**fields))
    assert (decision.kind, decision.reason) == (None, reason)


@given(st.fixed_dictionaries({f: st.text(max_size=30) for f in ("modality", "view_position", "any_text")}))
def test_any_header_gets_exactly_one_decision(fields: dict[str, str]) -> None:
    decision = decide(header(**fields))
    assert (decision.kind is None) == (decision.reason is not None)
    assert decision.rule in {rule.name for rule in DEFAULT_RULES}
