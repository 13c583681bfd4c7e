"""study.toml -> Study; everything that is wrong is reported at once, each with its line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinescore.errors import StudyError
from spinescore.study.lines import line_of, locate
from spinescore.study.problems import Problem, report
from spinescore.study.rules import rule_problems
from spinescore.study.shape import as_json, shape_problems
from spinescore.study.spelling import respell
from spinescore.study.toml_file import read_toml
from spinescore.study.whole import Study

EXPLAINED = "docs/study-file.md explains every key."


def read_study(path: Path) -> Study:
    """Read and validate a study file.

    Raises
    ------
    StudyError
        With every problem found, one per line, as ``FILE:LINE: KEY: what was found; what would be right``.
    """
    text, content = read_toml(path)
    problems = find_problems(content)
    if problems:
        lines = locate(text)
        located = [(line_of(lines, problem.path), problem) for problem in problems]
        raise StudyError(report(str(path), located), EXPLAINED)
    study = Study.model_validate_json(as_json(content), strict=True)
    return _resolve_paths(study, path.resolve().parent)


def find_problems(content: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a study file's content: keys, values, and what they say together."""
    respelt = respell(content, Study)
    shape, sound = shape_problems(respelt.content, Study)
    found = [*shape, *rule_problems(sound, respelt.content)]
    return [*respelt.problems, *(Problem(respelt.original(p.path), p.message) for p in found)]


def _resolve_paths(study: Study, folder: Path) -> Study:
    def resolve(path: Path) -> Path:
        return folder / path.expanduser()

    bundle, correction = study.model.bundle, study.correction.file
    update: dict[str, Any] = {
        "study": study.study.model_copy(
            update={"database": resolve(study.study.database), "output": resolve(study.study.output)}
        ),
        "images": study.images.model_copy(
            update={
                "sources": tuple(resolve(source) for source in study.images.sources),
                "rules": resolve(study.images.rules) if study.images.rules else None,
            }
        ),
        "model": study.model.model_copy(
            update={
                "bundle": bundle if bundle == "demo" else str(resolve(Path(bundle))),
                **{
                    name: resolve(path)
                    for name in ("image_cache", "ray_shards")
                    if (path := getattr(study.model, name)) is not None
                },
            }
        ),
    }
    written = {name: resolve(path) for name in ("summary", "log") if (path := getattr(study.run, name))}
    update["run"] = study.run.model_copy(update=written)
    if correction is not None and correction != "bundle":
        update["correction"] = study.correction.model_copy(update={"file": str(resolve(Path(correction)))})
    initial = study.train.initial_bundle
    if initial is not None and initial != "demo":
        update["train"] = study.train.model_copy(update={"initial_bundle": str(resolve(Path(initial)))})
    for name in ("subjects", "linkage"):
        table = getattr(study, name)
        if table is not None:
            update[name] = table.model_copy(update={"file": resolve(table.file)})
    return study.model_copy(update=update)
