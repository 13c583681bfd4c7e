"""Manufacturers under one name each, whatever their headers spell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.imaging.manufacturer import VENDORS, normalise_manufacturer, normalise_model

NAMES = [canonical for canonical, _ in VENDORS]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("GE Healthcare", "GE"),
        ("GE HEALTHCARE", "GE"),
        ('"GE Healthcare"', "GE"),
        ("GE Medical Systems Lunar", "GE"),
        ("LUNAR", "GE"),
        ("GEMS", "GE"),
        ("Philips Medical Systems", "Philips"),
        ("Philips Healthcare", "Philips"),
        ("PHILIPS", "Philips"),
        ("PMS", "Philips"),
        ("SIEMENS", "Siemens"),
        ("Siemens Healthineers", "Siemens"),
        ("Siemens Healthcare GmbH", "Siemens"),
        ("FUJIFILM Corporation", "Fujifilm"),
        ("FUJI PHOTO FILM Co., ltd.", "Fujifilm"),
        ("FUJI PHOTO FILM Co. LTD.", "Fujifilm"),
        ("Canon Inc.", "Canon"),
        ("TOSHIBA_MEC", "Canon"),
        ("Canon Medical Systems", "Canon"),
        ("KODAK", "Carestream"),
        ("Eastman Kodak Company", "Carestream"),
        ("CARESTREAM HEALTH", "Carestream"),
        ("Agfa", "Agfa"),
        ("Agfa-Gevaert AG", "Agfa"),
        ("KONICA MINOLTA", "Konica Minolta"),
        ("Konica Corporation", "Konica Minolta"),
        ("HOLOGIC, Inc.", "Hologic"),
        ("Samsung Electronics", "Samsung"),
        ("SHIMADZU CORPORATION", "Shimadzu"),
        ("DRTECH", "DRTECH"),
        ("VIEWORKS", "Vieworks"),
        ("LISTEM", "Listem"),
        ("RAYENCE Co., Ltd", "Rayence"),
        ("DK MEDICAL SYSTEM", "DK Medical"),
        ("EOS imaging", "EOS imaging"),
        ("Biospace Med", "EOS imaging"),
        ("  siemens\x00", "Siemens"),
        ("Acme   X-Ray", "Acme X-Ray"),
        ("Geometrics", "Geometrics"),
        ("Agfair", "Agfa"),
        ("Some Siemens reseller", "Some Siemens reseller"),
        ("万东", "万东"),
    ],
)
def test_spellings_of_a_vendor_come_under_one_name(spelling: str, name: str) -> None:
    assert normalise_manufacturer(spelling) == name


@pytest.mark.parametrize("text", [None, "", "  ", "\x00\x01", "--", "Unknown", "N/A", "\u200b"])
def test_texts_that_name_nobody_are_none(text: str | None) -> None:
    assert normalise_manufacturer(text) is None
    assert normalise_model("GE", text) is None


def test_every_name_is_its_own() -> None:
    assert [normalise_manufacturer(name) for name in NAMES] == NAMES


@settings(deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(NAMES).flatmap(lambda n: st.text(max_size=10).map(lambda t: n + t)),
    )
)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise_manufacturer(text)
    assert normalise_manufacturer(once) == once


@settings(deadline=None)
@given(st.sampled_from([*NAMES, None, "Acme"]), st.text(max_size=40))
def test_normalising_a_model_twice_is_normalising_once(maker: str | None, text: str) -> None:
    for model in (text, f"{maker} {text}"):
        once = normalise_model(maker, model)
        assert normalise_model(maker, once) == once


@pytest.mark.parametrize(
    ("maker", "model", "name"),
    [
        ("Philips Medical Systems", "Philips DigitalDiagnost", "DigitalDiagnost"),
        ("GE Healthcare", "Lunar iDXA", "Lunar iDXA"),
        ("GE", "GE", "GE"),
        ("SIEMENS", "  Ysio   Max ", "Ysio Max"),
        (None, "Ysio", "Ysio"),
    ],
)
def test_models_are_tidied(maker: str | None, model: str, name: str) -> None:
    assert normalise_model(maker, model) == name
