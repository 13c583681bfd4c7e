"""[study], [images], [model], [correction] and [cohorts], from what the database holds."""

from __future__ import annotations

from spinescore.core.study_draft.page import Page
from spinescore.core.study_draft.situation import COHORT_NAMES, SPOKEN_KINDS, KindFacts, Situation
from spinescore.study.toml_text import toml_key, toml_list, toml_string


def write_images(page: Page, situation: Situation, title: str) -> None:
    """Write [study], [images] and [model]."""
    page.header("study")
    page.guess("title", toml_string(title), "for the first page of the report")
    page.pair("database", toml_string(situation.database_name), "images and scores; made if it is missing")
    page.pair("output", '"report"', "folder of the report")
    if situation.facts is not None and situation.facts.synthetic:
        page.guess("synthetic", "true", "all images say that they are; every page of the report says so")
    if situation.ages_from is None:
        page.gap()
        _write_sources(page, situation)
    page.gap()
    _write_model(page, situation)


def _write_sources(page: Page, situation: Situation) -> None:
    page.header("images")
    held = situation.facts.n_images if situation.facts is not None else 0
    if situation.sources:
        page.pair("sources", toml_list(list(situation.sources)), "folders, archives, DICOMDIRs")
    elif situation.facts is not None and situation.facts.sources:
        read = toml_list(list(situation.facts.sources))
        page.guess("sources", read, f"where the database's {held:,} images are from; read for new ones")
    elif held:
        page.decide(
            f"where are the DICOM files? Those of the database's {held:,} images are not where they were "
            "read from; `spinescore run` looks for new ones here.",
            "images.sources",
        )
        page.pair("sources", '["dicom"]', commented=True)
    else:
        page.decide("where are the DICOM files? Folders, archives or DICOMDIRs.", "images.sources")
        page.pair("sources", '["dicom"]', commented=True)
    page.pair("index_image", '"first"', 'of several images of a subject; "last", or "mean" of the first day')


def _write_model(page: Page, situation: Situation) -> None:
    page.header("model")
    if situation.ages_from is not None:
        page.pair("imported", toml_string(situation.ages_from), "ages read by `spinescore scores import`")
        return
    if situation.facts is not None and situation.facts.synthetic:
        page.guess("bundle", '"demo"', "the shipped demonstration model, for made-up images only")
        return
    named = (
        f" The database has scores of {', '.join(situation.facts.models)}."
        if situation.facts and situation.facts.models
        else ""
    )
    page.decide(
        f"which model scores the images? A folder or zip of a model bundle.{named} Without one it is the "
        "demonstration model, which refuses real images.",
        "model.bundle",
    )
    page.pair("bundle", '"my-bundle"', commented=True)


def write_cohorts(page: Page, situation: Situation) -> None:
    """Write [correction] and a reference and an evaluated cohort per kind of image."""
    page.gap()
    page.remark(
        "The age gap (spine age minus age) depends on age until it is corrected. The correction is fitted, "
        "per kind of image, on a reference: a share of the subjects, drawn by a seed, who are not evaluated."
    )
    page.header("split")
    page.pair("reference_fraction", "0.3", "of each kind's subjects")
    page.gap()
    page.header("correction")
    page.pair("method", '"beheshti"', 'or "cole", "age-level", "none"')
    pairs = ", ".join(
        f"{kind} = {toml_string(f'{COHORT_NAMES[kind]} reference')}" for kind in situation.kinds
    )
    page.pair("reference", f"{{ {pairs} }}")
    page.gap()
    page.remark(
        "Cohorts: SQL conditions over images, scores and covariates (docs/study-file.md has the columns)."
    )
    facts = {kind.kind: kind for kind in situation.facts.kinds} if situation.facts is not None else {}
    if not facts:
        page.decide(
            "are they radiographs? For DXA images write kind = 'vfa' here, and \"vfa\" in `reference` above.",
            "cohorts: the kind of image",
        )
    for kind in situation.kinds:
        _write_kind(page, kind, facts.get(kind))


def _write_kind(page: Page, kind: str, facts: KindFacts | None) -> None:
    name = COHORT_NAMES[kind]  # type: ignore[index]
    counted = _counted(facts) if facts is not None else ""
    page.gap()
    page.header(f"cohorts.{toml_key(f'{name} reference')}")
    page.pair("role", '"reference"', "the correction is fitted on it, and it is not evaluated")
    page.pair("where", toml_string(f"kind = '{kind}' and split = 'reference'"))
    page.gap()
    page.header(f"cohorts.{toml_key(name)}")
    if counted:
        page.remark(counted)
    page.pair("where", toml_string(f"kind = '{kind}' and split = 'test'"))
    page.pair("min_age", "40", "years at the index image; likewise max_age", commented=True)


def _counted(facts: KindFacts) -> str:
    ages = ""
    if facts.youngest is not None and facts.oldest is not None:
        ages = f", aged {facts.youngest:.0f} to {facts.oldest:.0f} years"
    what = SPOKEN_KINDS[facts.kind]
    return f"In the database: {facts.n_images:,} {what} of {facts.n_subjects:,} subjects{ages}."
