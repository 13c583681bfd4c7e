"""Text values in the character sets that files declare, and in those they do not."""

from __future__ import annotations

import pydicom
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spinescore.core.imaging.character_set import decode_text, guess_text


@pytest.mark.parametrize(
    ("value", "character_set", "text"),
    [
        (b"LSPINE ", b"", "LSPINE"),
        ("Wirbelsäule".encode("latin-1"), b"ISO_IR 100", "Wirbelsäule"),
        ("Wirbelsäule".encode("latin-1"), b"ISO IR 100", "Wirbelsäule"),
        ("요추 측면".encode(), b"ISO_IR 192", "요추 측면"),
        ("позвоночник".encode("iso8859_5"), b"ISO_IR 144", "позвоночник"),
        ("腰椎侧位".encode("gb18030"), b"GB18030", "腰椎侧位"),
        ("腰椎".encode("gbk"), b"GBK", "腰椎"),
        (b"\x1b$)C" + "요추".encode("euc_kr"), b"\\ISO 2022 IR 149", "요추"),
        (b"L\x1b$)C" + "척추".encode("euc_kr") + b" lat", b"ISO 2022 IR 6\\ISO 2022 IR 149", "L척추 lat"),
        (b"\x1b$B" + "腰椎".encode("iso2022_jp")[3:-3] + b"\x1b(B", b"\\ISO 2022 IR 87", "腰椎"),
        ("ｾｷﾂｲ".encode("shift_jis"), b"ISO_IR 13", "ｾｷﾂｲ"),
    ],
)
def test_a_declared_character_set_is_followed(value: bytes, character_set: bytes, text: str) -> None:
    assert decode_text(value, character_set) == (text, None)


@pytest.mark.parametrize(
    ("value", "character_set", "text"),
    [
        ("요추 측면".encode(), b"", "요추 측면"),
        ("요추 측면".encode(), b"ISO_IR 100", "요추 측면"),
        ("요추 측면".encode("euc_kr"), b"ISO_IR 100", "요추 측면"),
        ("요추 측면".encode("euc_kr"), b"", "요추 측면"),
        ("Wirbelsäule".encode("latin-1"), b"", "Wirbelsäule"),
        ("Wirbelsäule".encode("latin-1"), b"ISO_IR 192", "Wirbelsäule"),
        ("ようつい".encode("shift_jis"), b"", "ようつい"),
        ("腰椎侧位".encode("gb18030"), b"", "腰椎侧位"),
        ("요추".encode("euc_kr"), b"ISO_IR 192", "요추"),
    ],
)
def test_a_mislabelled_text_is_read_and_flagged(value: bytes, character_set: bytes, text: str) -> None:
    assert decode_text(value, character_set) == (text, "charset_mismatch")


def test_an_unknown_character_set_is_flagged_only_where_it_matters() -> None:
    assert decode_text(b"plain", b"ISO_IR 999") == ("plain", None)
    assert decode_text("요추".encode(), b"ISO_IR 999") == ("요추", "charset_unknown")


@given(
    st.binary(max_size=64),
    st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 149", b"GB18030", b"x"]),
)
def test_any_bytes_are_some_text(value: bytes, character_set: bytes) -> None:
    text, flag = decode_text(value, character_set)
    assert isinstance(text, str)
    assert flag in (None, "charset_unknown", "charset_mismatch")
    assert isinstance(guess_text(value), str)


@given(st.text(st.characters(codec="latin-1", min_codepoint=32, exclude_characters="\\"), max_size=32))
def test_latin_text_is_what_pydicom_reads(text: str) -> None:
    value = text.encode("latin-1")
    found, flag = decode_text(value, b"ISO_IR 100")
    assume(flag is None)  # bytes that can only be UTF-8 or Korean are taken for that
    expected = pydicom.charset.decode_bytes(value, ["latin_1"], set())
    assert found == expected.strip(" \0")
