"""What names of columns and labels of codes usually mean; in English, Korean and some others."""

from __future__ import annotations

import re

TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

SEX = frozenset({"sex", "gender", "성별", "geschlecht", "sexe", "sexo"})
BIRTH = frozenset(
    {"dob", "birth", "birthdate", "birthday", "bdate", "birthdt", "born", "생년월일", "출생", "생일"}
)
AGE = frozenset({"age", "나이", "연령", "만나이", "alter", "edad"})
ID = frozenset(
    {"id", "pid", "patid", "patientid", "ptid", "mrn", "chartno", "subjid", "subjectid", "studyid", "uid"}
    | {"chart", "subject", "patient", "환자번호", "등록번호", "병록번호", "차트번호", "연구번호", "아이디"}
)
DEATH = frozenset(
    {
        "death",
        "died",
        "dead",
        "dth",
        "mort",
        "mortality",
        "deceased",
        "die",
        "deaths",
        "tod",
        "verstorben",
        "gestorben",
        "사망",
        "사망여부",
    }
)
ALIVE = frozenset({"alive", "surviving", "living", "생존", "생존여부"})
VITAL = DEATH | ALIVE | {"vital"}
CENSORED = frozenset({"cens", "censor", "censored", "censoring", "중도절단"})
FRACTURE = frozenset(
    {"fx", "fxs", "frac", "fracture", "fractured", "fractures", "fraktur", "골절", "골절여부"}
)
FRACTURES = FRACTURE | {"vfx", "hipfx", "vf", "mof", "nvfx", "hfx"}
OUTCOME = (
    FRACTURES
    | DEATH
    | {"hip", "mi", "stroke", "cvd", "chd", "hf", "cancer", "dementia", "fall", "falls", "event", "outcome"}
    | {"incident", "admission", "hospitalisation", "hospitalization", "relapse", "recurrence", "발생", "입원"}
)
PREVALENT = frozenset(
    {
        "prevalent",
        "prev",
        "prior",
        "previous",
        "history",
        "hx",
        "past",
        "existing",
        "과거력",
        "기왕력",
        "기왕",
    }
)
BONE = frozenset(
    {"osteoporosis", "osteopenia", "bmd", "tscore", "zscore", "tbs", "골다공증", "골밀도", "골감소증"}
)
CONFOUNDERS = frozenset(
    {
        "bmi",
        "smoking",
        "smoker",
        "smoke",
        "alcohol",
        "drinking",
        "diabetes",
        "dm",
        "steroid",
        "glucocorticoid",
    }
    | {"ra", "arthritis", "parental", "hypertension", "htn", "activity", "흡연", "음주", "당뇨", "체질량지수"}
)
PRIVATE = frozenset(
    {
        "name",
        "firstname",
        "lastname",
        "surname",
        "initials",
        "address",
        "phone",
        "tel",
        "mobile",
        "email",
        "ssn",
    }
    | {"zip", "postcode", "성명", "이름", "환자명", "주소", "전화", "연락처", "주민등록번호", "주민번호"}
)
# What tells an event column, a column of durations or of days from others of the same name.
EVENT_MARKS = frozenset(
    {"event", "status", "stat", "flag", "ind", "indicator", "yn", "bin", "incident", "inc", "new", "occurred"}
    | {"happened", "outcome", "case", "여부", "발생", "발생여부"}
)
UNITS = {
    "years": frozenset({"years", "year", "yrs", "yr", "y", "년"}),
    "months": frozenset({"months", "month", "mos", "mo", "mths", "mth", "mon", "m", "개월", "월"}),
    "days": frozenset({"days", "day", "d", "일", "일수"}),
}
ONLY_AT_THE_END = frozenset({"y", "m", "d", "t"})
DURATION_MARKS = frozenset().union(*UNITS.values()) | {
    *("time", "t", "tte", "fu", "fup", "futime", "followup", "follow", "up", "to", "until", "of", "dur"),
    *("duration", "surv", "survival", "survtime", "py", "interval", "기간", "추적기간", "추적", "시간"),
}
# Durations that are no follow-up, though they stand beside a yes or no of the same name.
NOT_FOLLOW_UP = frozenset(
    {
        "smoking",
        "smoke",
        "smoker",
        "pack",
        "alcohol",
        "education",
        "school",
        "menopause",
        "since",
        "흡연",
        "음주",
    }
)
DATE_MARKS = frozenset(
    {"date", "dt", "dat", "dte", "day", "of", "on", "datum", "fecha", "일", "일자", "날짜", "년월일"}
)
END_MARKS = frozenset(
    {"end", "last", "fu", "fup", "followup", "follow", "up", "censor", "cens", "censoring", "contact", "exit"}
    | {
        "lfu",
        "lost",
        "close",
        "closing",
        "final",
        "known",
        "study",
        "seen",
        "visit",
        "종료",
        "종료일",
        "추적종료일",
    }
    | {"최종", "최종추적일", "마지막", "추적", "추적종료", "ende", "letzter", "letzte", "kontakt"}
)
END_SURE = frozenset(
    {"end", "last", "exit", "censor", "cens", "censoring", "contact", "lfu", "final", "fu", "fup", "followup"}
    | {
        "closing",
        "follow",
        "ende",
        "letzter",
        "kontakt",
        "종료",
        "종료일",
        "추적종료일",
        "최종",
        "최종추적일",
        "마지막",
        "추적종료",
    }
)
IMAGE_DAY = frozenset(
    {
        "scan",
        "image",
        "imaging",
        "xray",
        "radiograph",
        "dxa",
        "dexa",
        "vfa",
        "검사일",
        "촬영일",
        "검사",
        "촬영",
    }
)
ORIGIN_DAY = frozenset(
    {
        "baseline",
        "base",
        "enrol",
        "enroll",
        "enrolment",
        "enrollment",
        "entry",
        "recruitment",
        "recruit",
        "index",
    }
    | {"start", "inclusion", "randomisation", "randomization", "등록일", "기저일", "시작일"}
)

HAPPENED = frozenset(
    {
        "yes",
        "y",
        "true",
        "t",
        "dead",
        "died",
        "death",
        "deceased",
        "event",
        "case",
        "positive",
        "pos",
        "present",
    }
    | {
        "fracture",
        "fractured",
        "fx",
        "incident",
        "occurred",
        "happened",
        "ja",
        "si",
        "oui",
        "예",
        "네",
        "유",
        "있음",
    }
    | {"있다", "사망", "골절", "발생", "양성"}
)
DID_NOT = frozenset(
    {"no", "n", "false", "f", "alive", "living", "survived", "censored", "none", "absent", "negative", "neg"}
    | {
        "control",
        "free",
        "not",
        "without",
        "lost",
        "nein",
        "non",
        "아니오",
        "아니요",
        "무",
        "없음",
        "없다",
        "생존",
    }
    | {"정상", "음성", "미발생", "중도절단"}
)
FEMALE = frozenset({"f", "female", "woman", "women", "w", "girl", "여", "여자", "여성", "frau", "femme"})
MALE = frozenset({"m", "male", "man", "men", "boy", "남", "남자", "남성", "mann", "homme"})


def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a name, in small letters.

    >>> tokens("anyFx_time2")
    ('any', 'fx', 'time', '2')
    """
    return tuple(token.casefold() for token in TOKEN.findall(name))


def mentions(name: str, words: frozenset[str]) -> bool:
    """Tell whether a name has one of these words; scripts without blanks are searched for them."""
    found = {word for token in tokens(name) for word in (token, token.removesuffix("s"))}
    joined = name.casefold()
    return any(word in found if word.isascii() else word in joined for word in words)


def stem(name: str, marks: frozenset[str]) -> tuple[str, ...]:
    """Return the words of a name without those that only mark what kind of column it is.

    Words for death are one word, and words for fracture; marks of a single letter count at the end only.

    >>> stem("died_months", DURATION_MARKS), stem("fu_time", DURATION_MARKS)
    (('death',), ())
    """
    words = [_without_marks(word, marks) for word in tokens(name)]
    kept = [
        word
        for position, word in enumerate(words)
        if word and not (word in marks and (word not in ONLY_AT_THE_END or position == len(words) - 1))
    ]
    return tuple("death" if word in VITAL else "fracture" if word in FRACTURE else word for word in kept)


def _without_marks(word: str, marks: frozenset[str]) -> str:
    """Cut marks off the end of a word in a script without blanks: 사망일 is 사망."""
    if word.isascii():
        return word
    endings = sorted((mark for mark in marks if not mark.isascii()), key=len, reverse=True)
    return next((word.removesuffix(mark) for mark in endings if word.endswith(mark)), word)


def happened(text: str) -> bool | None:
    """Tell what a label or a word in an event column says: it happened, it did not, or neither for sure."""
    words = tokens(text)
    joined = text.strip().casefold()
    no = joined in DID_NOT or any(word in DID_NOT for word in words)
    yes = joined in HAPPENED or any(word in HAPPENED for word in words)
    if no:  # "no fracture" has a word of each
        return False
    return True if yes else None
