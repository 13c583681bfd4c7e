"""Cards of the images that look oldest and youngest for their age, with where the network found age."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from spinescore.core.reporting.document import Block, Callout, ImageCard, ImageCards, Section
from spinescore.core.reporting.formatting import DASH, format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import Material, level_title


def image_cards_section(material: Material) -> Section:
    """Show the chosen images, a set per kind, oldest for their age first; empty where none was asked for."""
    blocks: list[Block] = []
    for kind in dict.fromkeys(str(card["kind"]) for card in material.image_cards):
        own = [card for card in material.image_cards if card["kind"] == kind]
        own.sort(key=lambda card: -(card["gap_at_age_years"] or 0.0))
        blocks.append(_cards(kind, own))
    if blocks:
        warning = Callout(
            title=_("These are images of people"),
            items=(
                _("This report holds images: share it as you would share them. No shareable report has any."),
                _("An overlay says where the network's age came from, not why, and nothing of the person."),
            ),
        )
        blocks.insert(0, warning)
    return Section(key="image-cards", title=_("Extreme images"), blocks=tuple(blocks))


def _cards(kind: str, cards: list[Mapping[str, Any]]) -> ImageCards:
    return ImageCards(
        key=f"image-cards-{kind}",
        title=_("{kind}: images that look oldest and youngest for their age").format(kind=level_title(kind)),
        caption=_(
            "First images of subjects, by the difference from the spine age expected at their age (least "
            "squares over this kind). Overlay: Grad-CAM of the spine age at the last convolution; orange "
            "makes the spine look older, blue younger. Names are hashes; the images' own identifiers stay in "
            "the database."
        ),
        cards=tuple(_card(card) for card in cards),
    )


def _card(card: Mapping[str, Any]) -> ImageCard:
    gap = card["gap_at_age_years"]
    title = _("Age unknown") if gap is None else _("Looks older") if gap > 0 else _("Looks younger")
    facts = (
        (_("Age"), _years(card["age_years"])),
        (_("Spine age"), _years(card["spine_age"])),
        (_("Gap at age"), _years(gap, signed=True)),
        (_("Image"), str(card["name"])),
    )
    described = _("{title}: spine age {spine_age} at age {age}, with the places that told it").format(
        title=title, spine_age=_years(card["spine_age"]), age=_years(card["age_years"])
    )
    picture = "data:image/png;base64," + base64.b64encode(card["picture"]).decode()
    return ImageCard(title=title, picture=picture, facts=facts, alt=described)


def _years(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return DASH
    plus = "+" if signed and value > 0 else ""
    return _("{years} years").format(years=f"{plus}{format_number(value, 1)}")
