"""What PDF/UA-1 (ISO 14289-1) asks of a tagged PDF beyond what WeasyPrint writes.

Section 7.5: a table's heads say what they head. Section 7.8: running heads and page numbers are artefacts,
not content, so that nobody has them read out on every page. To be called right before a PDF is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

SCOPES = {"col": "/Column", "colgroup": "/Column", "row": "/Row", "rowgroup": "/Row"}


def finish_tags(document: Any, pdf: Any) -> None:
    """Complete the tags of WeasyPrint's ``document`` in its ``pdf`` (pydyf)."""
    _state_scopes(document)
    _set_furniture_aside(pdf)


def _state_scopes(document: Any) -> None:
    for page in document.pages:
        for box in page._page_box.descendants():
            tag = getattr(box, "mark", None)
            if tag is not None and box.element is not None and box.element_tag == "th":
                tag["A"]["Scope"] = SCOPES[box.element.get("scope", "col")]


def _set_furniture_aside(pdf: Any) -> None:
    """Mark as artefacts what is tagged but hangs on no branch of the tree: the pages' margins."""
    objects = {item.reference: item for item in pdf.objects}
    root = objects[pdf.catalog["StructTreeRoot"]]
    reached = set(_below(root, objects))
    numbers = objects[root["ParentTree"]]["Nums"]
    parents = dict(zip(numbers[0::2], numbers[1::2], strict=True))
    on_page: dict[Any, set[int]] = defaultdict(set)
    for item in pdf.objects:
        if _is_element(item) and item.reference not in reached:
            on_page[item["Pg"]] |= {kid for kid in item["K"] if isinstance(kid, int)}
            item.free = "f"
    for place, page in enumerate(pdf.page_references):
        _mark_artefacts(objects[objects[page]["Contents"]].stream, on_page[page])
        for marked in on_page[page]:
            parents[place][marked] = "null"


def _below(item: Any, objects: dict[Any, Any]) -> Iterator[Any]:
    waiting = [item]
    while waiting:
        for kid in waiting.pop()["K"]:
            if not isinstance(kid, int) and _is_element(objects[kid]):
                yield kid
                waiting.append(objects[kid])


def _is_element(item: Any) -> bool:
    return isinstance(item, dict) and item.get("Type") == "/StructElem"


def _mark_artefacts(stream: list[Any], marked: set[int]) -> None:
    """Change ``/Tag <</MCID n>> BDC`` of these numbers into the beginning of an artefact."""
    for i, item in enumerate(stream):
        if isinstance(item, dict) and item.get("MCID") in marked:
            stream[i - 1] = "/Artifact"
            item.clear()
            item["Type"] = "/Pagination"
