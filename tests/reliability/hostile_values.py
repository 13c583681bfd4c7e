"""Hostile values: identifiers, ages, dates, character sets, texts that are code somewhere (PS3.5 6)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.reliability.dicom_bytes import BIG_ENDIAN, LITTLE, Value, image, tag_of
from tests.reliability.hostile_case import INDEXED, Case, excluded, flagged, rejected

SEQUENCES_FOR_TERMINALS = {
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "colour": "\x1b[31mred\x1b[0m",
    "answer-back": "\x1b[6n\x05",
    "c1": "\x9b2J",
    "backspace": "rejected" + "\b" * 8 + "indexed ",
    "carriage-return": "bad\rgood",
    "newline": "one\nerror: two",
    "nul": "before\0after",
    "bell": "\a\v\f\t",
    "delete": "\x7f\x80\x8d\x90",
}
TEXTS_THAT_ARE_CODE = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "html-entity": "&lt;b&gt;&#x3c;svg/onload=alert(1)&#x3e;",
    "sql": "'; drop table files; --",
    "sql-quote": "\"' or 1=1 /*",
    "formula-equals": "=cmd|' /C calc'!A0",
    "formula-plus": "+1+1",
    "formula-minus": "-2+3",
    "formula-at": "@SUM(1)",
    "formula-tab": "\t=1+1",
    "path": "../../../../etc/passwd",
    "path-absolute": "/dev/sda",
    "shell": "$(reboot); `reboot` && reboot",
    "percent": "%s%n%x{0}{}",
    "rich-markup": "[bold red]x[/] [link=file:///etc/passwd]y[/link]",
    "toml": '"""\n[rule]\n',
    "jinja": "{{ 7 * 7 }}{% raw %}",
    "json": '"},"state":"indexed',
    "csv": '"a","b"\r\n"c",d;e',
}
UNICODE_TRICKS = {
    "right-to-left": "\u202elatipsoh\u202c",
    "isolates": "\u2066\u2067\u2068x\u2069",
    "zero-width": "L\u200bS\u200dP\ufeffINE",
    "line-separator": "one\u2028two\u2029three\u0085four",
    "combining": "a" + "\u0301" * 200,
    "private-use": "\ue000\U000f0000",
    "not-a-character": "\ufffe\uffff",
    "tags": "".join(chr(0xE0000 + ord(c)) for c in "hidden"),
}


def cases() -> Iterator[Case]:
    """Yield them all."""
    for build in (_uids, _ages, _dates, _character_sets, _code, _lengths, _numbers, _decisions):
        yield from build()


def _case(name: str, outcome: tuple[str, str | None], flags: str | None = None, **values: Value) -> Case:
    content = image(name, **values)
    found = None if flags is None else flagged(*flags.split())
    return Case(f"values/{name}.dcm".encode(), outcome, content, found)


def _uids() -> Iterator[Case]:
    for name, value in {
        "empty": "",
        "of-blanks": "    ",
        "of-nuls": "\0\0\0\0",
    }.items():
        yield _case(f"uid-{name}", rejected("uid_missing"), SOPInstanceUID=value)
    yield _case("uid-none", rejected("uid_missing"), SOPInstanceUID=None)
    for name, value in {
        "of-65-characters": "1." + "2" * 63,
        "of-64-KB": "1." * 32_000 + "1",
        "of-letters": "1.2.three",
        "path": "../../etc/passwd",
        "path-within": "1.2/../3",
        "of-dots": "1..2",
        "dot-at-end": "1.2.3.",
        "dot-at-start": ".1.2",
        "leading-zero": "1.02.3",
        "two": "1.2.3\\1.2.4",
        "newline": "1.2.3\n4",
        "escape": "1.2\x1b[2J",
        "nul-within": "1.2\x003.4",
        "quote": "1.2';--",
        "high-bytes": "1.2.\xb2\xb3",
        "negative": "1.-2",
        "of-blanks-within": "1.2 .3",
    }.items():
        yield _case(f"uid-{name}", rejected("uid_invalid"), SOPInstanceUID=value)
    arabic = "1.2.\u0663\u0664".encode()
    yield _case(
        "uid-arabic-digits", rejected("uid_invalid"), SOPInstanceUID=arabic, SpecificCharacterSet="ISO_IR 192"
    )
    yield _case("uid-padded-with-blanks", INDEXED, "uid_mismatch", SOPInstanceUID="1.2.3.4.5.77   ")
    yield _case("uid-not-as-announced", INDEXED, "uid_mismatch", SOPInstanceUID="1.2.3.4.5.78")
    yield _case("uid-of-study-path", INDEXED, "uid_invalid", StudyInstanceUID="../../x")
    yield _case("uid-of-series-formula", INDEXED, "uid_invalid", SeriesInstanceUID="=1+1")
    yield _case("uid-of-study-empty", INDEXED, "", StudyInstanceUID="")


def _ages() -> Iterator[Case]:
    """Ages in forms of all kinds; the birth date is left out."""
    for name, age, flags in (
        ("years", "045Y", ""),
        ("months", "540M", ""),
        ("no-unit", "045", "age_malformed"),
        ("two-digits", "45Y", "age_malformed"),
        ("small-letter", "045y", "age_malformed"),
        ("four-digits", "0450", "age_malformed"),
        ("four-digits-unit", "0045Y", "age_malformed"),
        ("negative", "-45Y", "age_malformed"),
        ("text", "old", "age_malformed"),
        ("fraction", "45.5", "age_malformed"),
        ("formula", "=45Y", "age_malformed"),
        ("high-bytes", "\xb245Y", "age_malformed charset_mismatch"),
        ("several", "045Y\\046Y", "age_malformed"),
        ("high", "999Y", "age_implausible"),
        ("zero", "000Y", ""),
        ("empty", "", "age_missing"),
        ("blanks", "    ", "age_missing"),
        ("nuls", "\0\0\0\0", "age_missing"),
        ("64-KB", "0" * 60_000 + "45Y", "age_malformed"),
    ):
        values: dict[str, Value] = {"PatientAge": age, "PatientBirthDate": None}
        if name == "high-bytes":
            values["SpecificCharacterSet"] = None
        missing = "" if name not in MISSING_AS_WELL else " age_missing"
        yield _case(f"age-{name}", INDEXED, f"{flags}{missing}".strip(), **values)
    yield _case("age-conflict", INDEXED, "age_conflict", PatientAge="020Y")
    yield _case("age-of-no-one", INDEXED, "age_missing", PatientBirthDate=None)


MISSING_AS_WELL = {
    "no-unit", "four-digits", "four-digits-unit", "negative", "text", "fraction", "formula", "high-bytes", "several", "64-KB",
}  # fmt: skip


def _dates() -> Iterator[Case]:
    for name, born, flags in (
        ("30-february", "19500230", "birthdate_invalid age_missing"),
        ("month-13", "19501301", "birthdate_invalid age_missing"),
        ("zeros", "00000000", "birthdate_invalid age_missing"),
        ("year-0", "00000101", "birthdate_invalid age_missing"),
        ("year-9999", "99991231", "birthdate_after_study age_missing"),
        ("dotted", "1950.01.02", ""),
        ("text", "unknown", "birthdate_invalid age_missing"),
        ("american", "01/02/1950", "birthdate_invalid age_missing"),
        ("range", "19500101-19501231", "birthdate_invalid age_missing"),
        ("after-study", "20240503", "birthdate_after_study age_missing"),
        ("with-time", "19500102101112", "birthdate_invalid age_missing"),
        ("escape", "1950\x1b[2J", "charset_mismatch birthdate_invalid age_missing"),
        ("wide-digits", "\uff11\uff19\uff15\uff10\uff10\uff11\uff10\uff12", "birthdate_invalid age_missing"),
        ("19-centuries-ago", "01000101", "age_implausible"),
    ):
        value = born.encode() if not born.isascii() else born
        yield _case(f"born-{name}", INDEXED, flags, PatientBirthDate=value, SpecificCharacterSet="ISO_IR 192")
    yield _case("taken-never", INDEXED, "studydate_missing age_missing", StudyDate=None)
    yield _case("taken-tomorrow-ish", INDEXED, "studydate_missing age_missing", StudyDate="2024-99-99")
    yield _case(
        "taken-dates-only-of-content", INDEXED, "studydate_missing", StudyDate=None, ContentDate="20240502"
    )
    yield _case("taken-at-no-time", INDEXED, "", StudyTime="=25:61:99")


def _character_sets() -> Iterator[Case]:
    """Names of sets that do not exist, and bytes that are not of the set named."""
    latin, korean = "Wirbels\xe4ule".encode("latin-1"), "측면 요추".encode("euc_kr")
    for name, declared, text, flags in (
        ("unknown", "ISO_IR 999", latin, "charset_unknown"),
        ("formula", "=1+1", latin, "charset_unknown"),
        ("of-64-KB", "X" * 60_000, latin, "charset_unknown"),
        ("many", "\\".join(["ISO 2022 IR 87"] * 500), b"\x1b$B" + latin, "charset_mismatch"),
        ("latin-as-utf8", "ISO_IR 192", latin, "charset_mismatch"),
        ("korean-as-latin", "ISO_IR 100", korean, "charset_mismatch"),
        ("utf8-as-latin", "ISO_IR 100", "Wirbelsäule".encode(), "charset_mismatch"),
        ("latin-undeclared", None, latin, "charset_mismatch"),
        ("utf16", "ISO_IR 192", "Wirbelsäule".encode("utf-16"), "charset_mismatch"),
        ("surrogates", "ISO_IR 192", b"\xed\xa0\x80\xed\xbf\xbf", "charset_mismatch"),
        ("overlong", "ISO_IR 192", b"\xc0\xaf\xc0\xae", "charset_mismatch"),
        ("beyond-unicode", "ISO_IR 192", b"\xf5\x90\x80\x80", "charset_mismatch"),
        ("all-bytes", "ISO_IR 192", bytes(range(128, 256)), "charset_mismatch"),
        ("escape-undeclared", "ISO_IR 100", b"\x1b$)C" + korean, "charset_mismatch"),
        ("escape-cut", "\\ISO 2022 IR 149", b"text\x1b$", "charset_mismatch"),
        ("escape-only", "\\ISO 2022 IR 149", b"\x1b\x1b\x1b", "charset_mismatch"),
        ("shift-jis-cut", "ISO_IR 13", b"\x83", "charset_mismatch"),
        ("gb18030-cut", "GB18030", b"\x81\x30\x81", "charset_mismatch"),
    ):
        values: dict[str, Value] = {"SpecificCharacterSet": declared, "ProtocolName": text}
        yield _case(f"charset-{name}", INDEXED, flags, **values)
    name = "charset-korean-in-a-file-that-pydicom-reads"
    several = {"SpecificCharacterSet": "\\ISO 2022 IR 149", "ProtocolName": b"\x1b$)C" + korean}
    yield Case(f"values/{name}.dcm".encode(), INDEXED, image(name, BIG_ENDIAN, **several), flagged())


def _code() -> Iterator[Case]:
    """Texts that a terminal, a browser, a spreadsheet, a shell or a database would act on."""
    for name, text in {**SEQUENCES_FOR_TERMINALS, **TEXTS_THAT_ARE_CODE}.items():
        yield Case(
            f"values/text-{name}.dcm".encode(),
            INDEXED,
            image(
                f"text-{name}",
                **dict.fromkeys(("PatientID", "ManufacturerModelName", "StudyDescription"), text),
            ),
        )
    for name, text in UNICODE_TRICKS.items():
        values: dict[str, Value] = dict.fromkeys(
            ("PatientID", "Manufacturer", "StudyDescription"), text.encode()
        )
        yield _case(f"text-{name}", INDEXED, SpecificCharacterSet="ISO_IR 192", **values)
    yield _case("text-in-modality", excluded("modality"), Modality="\x1b[2J=CR")
    yield _case("text-in-photometric", rejected("photometric"), PhotometricInterpretation="\x1b[2J<b>=")
    yield _case("text-in-sex", INDEXED, "", PatientSex="=F")


def _lengths() -> Iterator[Case]:
    for n_bytes in (65_534, 1_000):
        yield _case(f"long-description-{n_bytes}", INDEXED, "", StudyDescription="spine " * (n_bytes // 6))
    yield _case("long-patient-id", INDEXED, "", PatientID="0" * 65_534)
    yield _case("long-of-values", INDEXED, "", ImageType="\\".join(["ORIGINAL", "PRIMARY"] * 3_000))
    yield _case("long-derived", excluded("derived"), ImageType="DERIVED\\SECONDARY\\" + "\\" * 60_000)
    yield _case("long-spacing", INDEXED, "spacing_invalid", PixelSpacing="1" * 60_000)
    yield _case("long-view", excluded("view_unknown"), ViewPosition="L" * 60_000)
    yield _case("backtracking", INDEXED, "", StudyDescription="spine " + "a " * 30_000 + "!")


def _numbers() -> Iterator[Case]:
    """Numbers that are none, or not one; only spacing has a range."""
    for name, value, flags in (
        ("nan", "nan\\nan", "spacing_invalid"),
        ("inf", "inf\\inf", "spacing_invalid"),
        ("huge", "1e99\\1e99", "spacing_invalid"),
        ("beyond-float", "1e999", "spacing_invalid"),
        ("zero", "0\\0", "spacing_invalid"),
        ("negative", "-0.1\\-0.1", "spacing_invalid"),
        ("comma", "0,15\\0,15", "spacing_invalid"),
        ("hex", "0x10", "spacing_invalid"),
        ("underscore", "1_0", "spacing_invalid"),
        ("backslashes", "\\\\\\", "spacing_invalid"),
        ("blank", "  ", ""),
        ("one", "0.15", ""),
        ("wide-digits", "\uff11.\uff12".encode(), "spacing_invalid"),
    ):
        yield _case(f"spacing-{name}", INDEXED, flags, PixelSpacing=value, SpecificCharacterSet="ISO_IR 192")
    yield _case("kvp-of-nothing", INDEXED, "", KVP="1e400", Exposure="nan", ExposureTime="-inf")
    for keyword in ("Rows", "BitsAllocated"):
        for name, value in (
            ("of-three-bytes", b"\x60\0\0"),
            ("of-two-values", b"\x60\0\x60\0"),
            ("empty", b""),
        ):
            element = LITTLE.element(tag_of(keyword), "US", value)
            content = image(f"{keyword}-{name}", raw={tag_of(keyword): element})
            yield Case(f"values/{keyword}-{name}.dcm".encode(), rejected("malformed"), content)
    element = LITTLE.element(tag_of("Rows"), "SS", b"\xff\xff")
    content = image("Rows-negative", raw={tag_of("Rows"): element})
    yield Case(b"values/Rows-negative.dcm", rejected("dimensions"), content)
    for name, frames, outcome in (
        ("2", "2", excluded("multiframe")),
        ("0", "0", excluded("multiframe")),
        ("1e9", "1000000000", excluded("multiframe")),
        ("abc", "abc", rejected("malformed")),
        ("float", "1.0", rejected("malformed")),
        ("negative", "-1", rejected("malformed")),
        ("superscript", "\xb2", excluded("multiframe")),
        ("of-64-KB", "9" * 60_000, excluded("multiframe")),
        ("two", "1\\1", rejected("malformed")),
    ):
        yield _case(f"frames-{name}", outcome, NumberOfFrames=frames)


def _decisions() -> Iterator[Case]:
    """Values that decide, contradict each other or are of the wrong kind of object."""
    yield _case("decide-ct", excluded("modality"), Modality="CT")
    yield _case("decide-no-modality", excluded("modality"), Modality=None)
    yield _case("decide-chest", excluded("body_part"), BodyPartExamined="CHEST")
    yield _case("decide-frontal", excluded("view_not_lateral"), ViewPosition="AP")
    yield _case("decide-no-view", excluded("view_unknown"), ViewPosition=None)
    yield _case("decide-conflict", excluded("view_conflict"), SeriesDescription="AP")
    yield _case("decide-no-rows", rejected("malformed"), Rows=None)
    report = "1.2.840.10008.5.1.4.1.1.88.11"
    yield _case("decide-report", excluded("not_an_image"), SOPClassUID=report, Rows=None, Columns=None)
    yield _case("decide-directory", excluded("dicomdir"), SOPClassUID="1.2.840.10008.1.3.10")
    yield _case("no-patient", INDEXED, "patientid_missing", PatientID=None)
    yield _case("blank-patient", INDEXED, "patientid_missing", PatientID="    ")
    yield _case("decide-burned-in", INDEXED, "burned_in", BurnedInAnnotation="YES")
