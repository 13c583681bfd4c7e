"""[report]: what the report holds beside the numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spinescore.study.sections import Section


class ReportSection(Section):
    """[report]: what the report holds beside the numbers; nothing here changes a number."""

    paper: Literal["a4", "letter"] = Field(default="a4", description="The size of the PDF's pages.")
    formats: tuple[Literal["pdf", "figures"], ...] = Field(
        default=("pdf", "figures"),
        description="Beside page, tables and numbers: the PDFs, figures as files; [] for neither.",
    )
    image_cards: Annotated[int, Field(ge=0, le=12)] = Field(
        default=0,
        description="So many images of each kind and end that look oldest and youngest for their age, with "
        "saliency; 0: none. Images are patient data.",
    )
