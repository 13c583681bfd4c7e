"""The fast header parser finds what pydicom finds, or hands the file over."""

from __future__ import annotations

import io
import warnings

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from spinescore.core.imaging.element_walker import (
    AFTER_WANTED,
    CODE_TAGS,
    FIRST_WINDOW,
    NUMBER_TAGS,
    PIXEL_DATA,
    TEXT_TAGS,
    ElementWalker,
    OddFileError,
)
from spinescore.shell.indexing.intake import elements_of

TEXTS: dict[str, st.SearchStrategy[str]] = {
    "CS": st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ", max_size=16),
    "LO": st.text(st.characters(codec="latin-1", exclude_characters="\\", min_codepoint=32), max_size=64),
    "SH": st.text("abcdefghij ", max_size=16),
    "DA": st.dates().map(lambda day: f"{day:%Y%m%d}".rjust(8, "0")),
    "TM": st.just("101112"),
    "UI": st.lists(st.integers(0, 99999), min_size=1, max_size=8).map(lambda n: ".".join(map(str, n))),
    "AS": st.integers(0, 999).map(lambda years: f"{years:03d}Y"),
    "DS": st.floats(0, 1e4).map(lambda x: f"{x:.4f}"),
    "IS": st.integers(0, 10**6).map(str),
}


def vr_of(tag: int) -> str:
    return pydicom.datadict.dictionary_VR(tag)


@st.composite
def code_sequences(draw: st.DrawFn) -> Sequence:
    items = []
    for _ in range(draw(st.integers(0, 3))):
        item = Dataset()
        item.CodeValue = draw(TEXTS["SH"])
        item.CodingSchemeDesignator = draw(st.sampled_from(["SCT", "SRT", "DCM"]))
        item.CodeMeaning = draw(TEXTS["LO"])
        if draw(st.booleans()):
            inner = Dataset()
            inner.CodeValue = "inner"
            item.add_new(0x00540222, "SQ", Sequence([inner]))
        item.is_undefined_length_sequence_item = draw(st.booleans())
        items.append(item)
    return Sequence(items)


@st.composite
def headers(draw: st.DrawFn) -> FileDataset:
    """A valid header: wanted elements, and unwanted ones (private, nested, large) in between."""
    dataset = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.MediaStorageSOPInstanceUID = draw(TEXTS["UI"])
    syntax = draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless]))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SpecificCharacterSet = "ISO_IR 100"
    for tag in draw(st.sets(st.sampled_from(sorted(TEXT_TAGS)), max_size=25)) - {0x00080005}:
        dataset.add_new(tag, vr_of(tag), draw(TEXTS.get(vr_of(tag), TEXTS["SH"])))
    for tag in draw(st.sets(st.sampled_from(sorted(NUMBER_TAGS)))):
        dataset.add_new(tag, "US", draw(st.integers(0, 65535)))
    for tag in draw(st.sets(st.sampled_from(sorted(CODE_TAGS)))):
        dataset.add_new(tag, "SQ", draw(code_sequences()))
        dataset[tag].is_undefined_length = draw(st.booleans())
    if draw(st.booleans()):
        dataset.add_new(0x00081140, "SQ", draw(code_sequences()))
        dataset[0x00081140].is_undefined_length = draw(st.booleans())
    if draw(st.booleans()):
        dataset.add_new(0x00290010, "LO", "SOME VENDOR")
        dataset.add_new(0x00291010, "OB", b"\x07" * draw(st.sampled_from([2, 5000, 70_000])))
    if draw(st.booleans()):
        dataset.PixelData = b"\0" * 64
        dataset["PixelData"].VR = "OW"
        if syntax == JPEGLSLossless:
            dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
            dataset["PixelData"].is_undefined_length = True
    return dataset


def written(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def walk(content: bytes) -> ElementWalker:
    walker = ElementWalker(lambda offset, length: content[offset : offset + length], len(content))
    walker.begin(content[:FIRST_WINDOW])
    walker.walk(content[:FIRST_WINDOW], 0, AFTER_WANTED)
    return walker


def stripped(elements: dict[int, bytes]) -> dict[int, bytes]:
    return {tag: value.strip(b" \0") for tag, value in elements.items() if value.strip(b" \0")}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers())
def test_every_wanted_element_of_a_valid_header_is_what_pydicom_reads(dataset: FileDataset) -> None:
    content = written(dataset)
    walker = walk(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        expected = elements_of(truth)
    found = {tag: value for tag, value in walker.found.items() if tag not in (0x00020010,)}
    assert stripped(found) == stripped(expected)
    assert walker.transfer_syntax == truth.file_meta.TransferSyntaxUID


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers(), st.data())
def test_a_cut_header_is_seen_or_handed_over(dataset: FileDataset, data: st.DataObject) -> None:
    content = written(dataset)
    cut = content[: data.draw(st.integers(0, max(0, len(content) - 1)))]
    walker = ElementWalker(lambda offset, length: cut[offset : offset + length], len(cut))
    try:
        walker.begin(cut[:FIRST_WINDOW])
        walker.walk(cut[:FIRST_WINDOW], 0, AFTER_WANTED)
    except OddFileError:
        return
    whole = walk(content).found
    assert walker.found.items() <= whole.items()
    if walker.position <= len(cut):
        assert walker.position <= len(content)


@settings(max_examples=500)
@given(st.binary(max_size=400), st.sampled_from(["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]))
def test_any_bytes_end_the_walk(content: bytes, syntax: str) -> None:
    meta = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    meta.file_meta.TransferSyntaxUID = syntax
    whole = written(meta) + content
    walker = ElementWalker(lambda offset, length: whole[offset : offset + length], len(whole))
    try:
        walker.begin(whole[:FIRST_WINDOW])
        ended = walker.walk(whole[:FIRST_WINDOW], 0, AFTER_WANTED)
    except OddFileError:
        return
    assert ended in (True, False)
    assert walker.position >= 0


def test_pixels_behind_a_megabyte_of_private_data_are_found() -> None:
    dataset = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality = "CR"
    dataset.add_new(0x00290010, "LO", "SOME VENDOR")
    dataset.add_new(0x00291010, "OB", b"\1" * (1 << 20))
    dataset.Rows, dataset.Columns = 4, 4
    dataset.PixelData = b"\0" * 16
    dataset["PixelData"].VR = "OW"
    content = written(dataset)
    walker = walk(content)
    assert walker.walk(content[:FIRST_WINDOW], 0, PIXEL_DATA)
    tag, offset, length = walker.element_at()
    assert (tag, length) == (PIXEL_DATA, 16)
    assert offset + length == len(content)
    assert walker.found[0x00280010] == b"\4\0"


@pytest.mark.parametrize("depth", [20, 2000])
def test_deep_nesting_is_handed_over_not_followed(depth: int) -> None:
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    meta = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    meta.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = written(meta) + opening * depth
    with pytest.raises(OddFileError, match="nested"):
        walk(content)
