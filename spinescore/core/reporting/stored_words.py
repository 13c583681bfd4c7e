"""Words that are stored in the database in English, in the language of the report: notes, reasons, steps.

``analyze`` and ``ingest`` store why a number is missing and why somebody was left out as short English
phrases, some with numbers in them. Here stand their patterns; a phrase of no pattern (a reason of a study's
own rules, say) stays as it is.
"""

from __future__ import annotations

import re
from functools import cache

from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked, marked_plural, ngettext

NUMBER_FIELDS = {"n", "m", "number"}
UNITS = {
    "files": marked_plural("{n:,} file", "{n:,} files"),
    "images": marked_plural("{n:,} image", "{n:,} images"),
    "ages": marked_plural("{n:,} age", "{n:,} ages"),
    "subjects": marked_plural("{n:,} subject", "{n:,} subjects"),
    "table rows": marked_plural("{n:,} table row", "{n:,} table rows"),
}
PROBLEMS = (
    marked("not computed for this cohort"),
    marked("no reason recorded"),
    marked("no subjects"),
    marked("no subjects followed over time"),
    marked("no subjects with same-day repeats"),
    marked("{n} subjects with same-day repeats"),
    marked("{n} subjects followed over time"),
    marked("{n} subjects"),
    marked("{n} events, {m} parameters"),
    marked("{n} events in {group}"),
    marked("{n} events"),
    marked("{n} clusters, {m} parameters"),
    marked("{n} cases, {m} controls"),
    marked("{n} known values, {m} parameters"),
    marked("{n} of {m} bootstraps failed"),
    marked("{problem} in {n} of {m} imputations"),
    marked("`{covariate}` missing in all"),
    marked("{n} tests"),
    marked("constant predictor"),
    marked("collinear"),
    marked("separation"),
    marked("one class"),
    marked("one group"),
    marked("one device"),
    marked("one event time"),
    marked("not tested"),
    marked("not reached"),
    marked("not converged"),
    marked("no convergence"),
    marked("no controls"),
    marked("no comparable pairs"),
    marked("no same-day repeats"),
    marked("no variance within days"),
    marked("no variance about the lines"),
    marked("no subject with three days"),
    marked("nobody above the cut-off"),
    marked("nobody below the cut-off"),
    marked("models on different n"),
    marked("pixels not known"),
    marked("all predicted risks are 0"),
    marked("observed risk is 1"),
    marked("too few distinct predicted risks"),
    marked("too few distinct values of PAD"),
    marked("too few distinct values of age"),
    marked("groups do not overlap in time"),
    marked("devices cannot be told from age and sex"),
    marked("beyond follow-up of the cohort the model was fitted in"),
    marked("beyond follow-up"),
    marked("left truncation: Gray's test is not defined for it here"),
    marked("left truncation: Fine and Gray's model is not defined for it here"),
    marked("left truncation: Uno's C is not defined for it here"),
    marked("left truncation: inverse-probability weights are not defined for it here"),
    marked("PAD is not on the same correction as in {cohort}"),
    marked("level unknown in {cohort}: {level}"),
    marked("competing event without covariates: {n}"),
)
NOTES = (
    marked("fitted in {cohort}"),
    marked("{endpoint} censored"),
    marked("left out as constant: {covariates}"),
    marked("left out as the endpoint itself: {covariates}"),
    marked("levels left out: {levels}"),
    marked("strata: {names} ({n})"),
    marked("clusters: {name} ({n})"),
    marked("knots: {knots}"),
    marked("no time at risk on this scale: {n}"),
    marked("no covariate missing"),
    marked("one incomplete covariate: drawn without a chain"),
    marked("{number}% of person-years"),
    marked("reference n = {n}"),
    marked("denominator df {n}"),
    marked("optimism {number} in {n} bootstraps"),
)
STEPS = (
    marked("files found"),
    marked("rows imported"),
    marked("readable"),
    marked("eligible images"),
    marked("scored"),
    marked("in the cohort"),
    marked("subject and age known"),
    marked("linked to follow-up"),
    marked("one index image per subject"),
    marked("one index age per subject"),
    marked("right age"),
    marked("outcome known"),
    marked("follow-up"),
    marked("in the follow-up table"),
    marked("with an image"),
    marked("with a scored image"),
    marked("with an image of the cohort"),
)
EXITS = (
    marked("left"),
    marked("missing"),
    marked("not of kind {kind}"),
    marked("condition unknown (missing values)"),
    marked("not in this cohort"),
    marked("no patient id"),
    marked("age unknown"),
    marked("not in the follow-up table"),
    marked("further images"),
    marked("further ages"),
    marked("too young (under {number})"),
    marked("too old ({number} or older)"),
    marked("outside the ages its correction was fitted on"),
    marked("excluded by exclude where"),
    marked("exclude where unknown (missing values)"),
    marked("date of the image unknown"),
    marked("follow-up missing"),
    marked("event before the image"),
    marked("competing event before the image"),
    marked("follow-up ends before the image"),
    marked("event on day 0"),
    marked("follow-up ends on day 0"),
    marked("entry not before the end of follow-up"),
    marked("no image of the subject"),
    marked("no image scored"),
    marked("no scored image in the cohort, of known age"),
    marked("not scored: {reason}"),
    marked("not tried yet"),
)
FILE_REASONS = (
    marked("duplicate: {reason}"),
    marked("excluded: {reason}"),
    marked("rejected: {reason}"),
    marked("missing: {reason}"),
    # docs/ingest.md, states and reasons; underscores are spaces here
    marked("identical"),
    marked("header differs"),
    marked("recompressed"),
    marked("content conflict"),
    marked("not dicom"),
    marked("not an image"),
    marked("dicomdir"),
    marked("multiframe"),
    marked("not grayscale"),
    marked("archive"),
    marked("nested archive"),
    marked("not regular"),
    marked("symlink dir"),
    marked("symlink dangling"),
    marked("symlink loop"),
    marked("truncated"),
    marked("malformed"),
    marked("nesting"),
    marked("inflate limit"),
    marked("dimensions"),
    marked("aspect ratio"),
    marked("too small"),
    marked("pixel length"),
    marked("no pixel data"),
    marked("bit depth"),
    marked("photometric"),
    marked("transfer syntax"),
    marked("uid missing"),
    marked("uid invalid"),
    marked("empty"),
    marked("permission"),
    marked("unreadable"),
    marked("path too long"),
    marked("archive damaged"),
    marked("encrypted"),
    marked("reference outside"),
    marked("timeout"),
    marked("decoder crashed"),
    marked("constant image"),
    marked("non finite pixels"),
    marked("decode failed"),
    marked("deleted"),
    marked("moved"),
    marked("not found"),
    marked("body part"),
    marked("derived"),
    marked("for processing"),
    marked("modality"),
    marked("view conflict"),
    marked("view not lateral"),
    marked("view unknown"),
)


def stored_text(text: str) -> str:
    """Return a stored note, reason or step in the language in use, each part between semicolons by itself.

    >>> stored_text("1 events; left out as constant: sex=M")
    '1 events; left out as constant: sex=M'
    """
    return "; ".join(_part_text(part) for part in text.split("; "))


def count_text(n: int, unit: str | None) -> str:
    """Return a number with its stored unit.

    >>> count_text(1, "files"), count_text(1200, "subjects"), count_text(3, None)
    ('1 file', '1,200 subjects', '3')
    """
    return ngettext(*UNITS[unit], n).format(n=n) if unit in UNITS else f"{n:,} {unit or ''}".rstrip()


def _part_text(part: str) -> str:
    for template, pattern in _patterns():
        found = pattern.fullmatch(part)
        if found:
            fields = found.groupdict()
            inner = {name: stored_text(fields[name]) for name in ("problem", "reason") if name in fields}
            return _(template).format(**fields | inner)
    return part


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((t, _pattern(t)) for t in (*PROBLEMS, *NOTES, *STEPS, *EXITS, *FILE_REASONS))


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    fields = (rf"(?P<{name}>{'[0-9.,+−-]+' if name in NUMBER_FIELDS else '.+'})" for name in parts[1::2])
    return re.compile("".join(re.escape(text) + next(fields, "") for text in parts[::2]))
