"""Cards of extreme images: opt-in, oldest first, numbered as figures, pictures within the page."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from spinescore.core.reporting.document import Callout, ImageCards
from spinescore.core.reporting.image_cards_section import image_cards_section
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.sections import build_report
from spinescore.shell.render import draw_charts, render_html


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 40), (9, 9, 9)).save(stream, format="PNG")
    return stream.getvalue()


def card(name: str, kind: str, gap: float | None, age: float | None = 71.0) -> dict[str, Any]:
    ages = {"age_years": age, "spine_age": 70.44, "gap_at_age_years": gap}
    return {"name": name, "kind": kind, "picture": picture(), **ages}


@pytest.fixture
def shown(material: Material) -> Material:
    cards = (
        card("aa", "vfa", -6.25),
        card("bb", "vfa", 7.0),
        card("cc", "radiograph", 3.5),
        card("<i>d</i>", "vfa", None, age=None),
    )
    return replace(material, image_cards=cards)


def test_without_cards_there_is_no_section(material: Material) -> None:
    assert image_cards_section(material).blocks == ()


def test_a_set_for_each_kind_oldest_first_with_what_they_are(shown: Material) -> None:
    warning, *sets = image_cards_section(shown).blocks
    assert isinstance(warning, Callout)
    assert [block.key for block in sets if isinstance(block, ImageCards)] == [
        "image-cards-vfa",
        "image-cards-radiograph",
    ]
    vfa = sets[0]
    assert isinstance(vfa, ImageCards)
    facts = [dict(one.facts) for one in vfa.cards]
    assert [fact["Image"] for fact in facts] == ["bb", "<i>d</i>", "aa"]
    assert [fact["Gap at age"] for fact in facts] == ["+7.0 years", "–", "−6.2 years"]
    assert [one.title for one in vfa.cards] == ["Looks older", "Age unknown", "Looks younger"]
    assert facts[0]["Spine age"] == "70.4 years"


def test_the_page_holds_pictures_of_its_own_and_names_as_text(shown: Material) -> None:
    report = build_report(shown)
    (number,) = {b.number for b in report.blocks() if isinstance(b, ImageCards) and b.key.endswith("vfa")}
    assert number > 0
    charts = draw_charts(report)
    for medium in ("screen", "print"):
        page = render_html(report, charts, medium)
        assert page.count('<img src="data:image/png;base64,') == 4
        assert "&lt;i&gt;d&lt;/i&gt;" in page
        assert "<i>d</i>" not in page
