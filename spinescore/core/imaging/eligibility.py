"""Which images are ours: a table of rules, tried in order; the first that holds decides.

A rule is data: patterns on header fields, a decision and the reason it gives. The
words are those that scanners and radiographers write (shared vocabulary of DICOM
CS values, GE Lunar's ProtocolName codes, English, German, French, Spanish and Korean
descriptions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from spinescore.domain import Kind

RADIOGRAPH_MODALITIES = r"^(CR|DX|RG|RF)$"
LATERAL = r"^(LL|RL|LAT|LATERAL|L LAT|R LAT|LLAT|RLAT|LEFT LATERAL|RIGHT LATERAL)$"
FRONTAL = r"^(AP|PA|FRONTAL)$"
SPINE = (
    r"^(SPINE|LSPINE|TSPINE|TLSPINE|LUMBAR|THORACIC|LUMBAR SPINE|THORACIC SPINE|T-SPINE|L-SPINE|WHOLESPINE)$"
)
SPINE_WORDS = r"spine|lumbar|thora(c|k)|vertebra|wirbel|rachis|columna|척추|요추|흉추|腰椎|胸椎|脊椎"
LATERAL_WORDS = r"\blat\b|lateral|seitlich|profil|측면|側面|侧位"
FRONTAL_WORDS = r"\b(ap|pa)\b|frontal|정면|正面|正位"
VFA_PROTOCOLS = r"^(LVA|VFA|IVA|LATERAL VERTEBRAL ASSESSMENT|DUAL[- ]ENERGY VERTEBRAL ASSESSMENT)$"
VFA_WORDS = r"\b(vfa|lva|iva)\b|vertebral (fracture )?assessment"
DXA_WORDS = r"\bdxa\b|\bdexa\b|bone density|densitom"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: when every pattern is found, it decides.

    Parameters
    ----------
    name : str
        Stored with every decision it makes.
    patterns : mapping of header field to regular expression
        Searched case-insensitively; ``view_text`` is what describes the view (series, protocol),
        ``any_text`` that and the study description.
    kind : str or None
        The kind of image it lets in; None for a rule that excludes.
    reason : str or None
        The reason code of an exclusion.
    """

    name: str
    patterns: Mapping[str, str]
    kind: Kind | None = None
    reason: str | None = None
    unless: Mapping[str, str] = field(default_factory=dict)

    def holds(self, header: Mapping[str, str]) -> bool:
        """Tell whether every pattern is found and no ``unless`` pattern is."""
        return all(_found(p, header.get(f, "")) for f, p in self.patterns.items()) and not any(
            _found(p, header.get(f, "")) for f, p in self.unless.items()
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What the table says of one header."""

    rule: str
    kind: Kind | None
    reason: str | None


DEFAULT_RULES: tuple[Rule, ...] = (
    Rule("derived", {"image_type": r"\bDERIVED\b"}, reason="derived", unless={"modality": r"^OT$"}),
    Rule("vfa-protocol", {"protocol_name": VFA_PROTOCOLS}, kind="vfa"),
    Rule(
        "vfa-description",
        {"view_text": VFA_WORDS},
        kind="vfa",
        unless={"view_position": FRONTAL, "view_text": FRONTAL_WORDS},
    ),
    Rule(
        "dxa-other-protocol",
        {"any_text": f"{DXA_WORDS}|{VFA_WORDS}", "protocol_name": r"\S"},
        reason="view_not_lateral",
    ),
    Rule("dxa-unknown-view", {"any_text": f"{DXA_WORDS}|{VFA_WORDS}"}, reason="view_unknown"),
    Rule("other-modality", {}, reason="modality", unless={"modality": RADIOGRAPH_MODALITIES}),
    Rule(
        "frontal", {"view_position": FRONTAL}, reason="view_not_lateral", unless={"any_text": LATERAL_WORDS}
    ),
    Rule("view-conflict", {"view_position": FRONTAL, "any_text": LATERAL_WORDS}, reason="view_conflict"),
    Rule(
        "view-conflict-text",
        {"view_position": LATERAL, "any_text": FRONTAL_WORDS},
        reason="view_conflict",
        unless={"any_text": LATERAL_WORDS},
    ),
    Rule("lateral-spine", {"view_position": LATERAL, "body_part": SPINE}, kind="radiograph"),
    Rule(
        "lateral-other-part",
        {"view_position": LATERAL, "body_part": r"\S"},
        reason="body_part",
    ),
    Rule("lateral-spine-text", {"view_position": LATERAL, "any_text": SPINE_WORDS}, kind="radiograph"),
    Rule(
        "described-lateral-spine",
        {"any_text": rf"(?=.*(?:{SPINE_WORDS}))(?=.*(?:{LATERAL_WORDS}))"},
        kind="radiograph",
        unless={"any_text": FRONTAL_WORDS},
    ),
    Rule(
        "part-and-lateral-text",
        {"body_part": SPINE, "any_text": LATERAL_WORDS},
        kind="radiograph",
        unless={"any_text": FRONTAL_WORDS},
    ),
    Rule("spine-view-unknown", {"body_part": SPINE}, reason="view_unknown"),
    Rule("not-spine", {"body_part": r"\S"}, reason="body_part"),
    Rule("unknown", {}, reason="view_unknown"),
)


def decide(header: Mapping[str, str], rules: tuple[Rule, ...] = DEFAULT_RULES) -> Decision:
    """Return the decision of the first rule that holds.

    Parameters
    ----------
    header : mapping
        Text fields: ``modality, image_type, view_position, body_part, protocol_name, view_text,
        any_text``.

    >>> decide({"modality": "CR", "protocol_name": "LVA", "any_text": "DXA Exam"}).kind
    'vfa'
    >>> decide({"modality": "CT", "any_text": ""}).reason
    'modality'
    """
    for rule in rules:
        if rule.holds(header):
            return Decision(rule.name, rule.kind, rule.reason)
    return Decision("none", None, "view_unknown")


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text.strip(), re.IGNORECASE) is not None
