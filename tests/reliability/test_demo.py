"""The whole path on a phantom cohort, as a user runs it, with the network cut off."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import duckdb
import polars as pl
import pytest

from spinescore.domain import RESULT_KEYS
from tests.reliability.conftest import Demo, Offline


def table(demo: Demo, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(demo.folder / "cohort.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_nothing_reaches_for_the_network(demo: Demo) -> None:
    assert demo.offline.attempts == ""


def test_the_watch_on_the_network_would_see_an_attempt(offline: Offline, tmp_path: Path) -> None:
    watched = Offline(tmp_path, tmp_path / "home")
    shutil.copy(offline.folder / "sitecustomize.py", tmp_path)
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    environment = {"PYTHONPATH": str(tmp_path), "NETWORK_ATTEMPTS": str(tmp_path / "attempts.log")}
    python = shutil.which("python3") or "python3"
    assert subprocess.run([python, "-c", code], env=environment, capture_output=True).returncode != 0
    assert "socket" in watched.attempts


def test_the_demo_ends_by_naming_its_report_and_its_primary_result_beside_the_truths(demo: Demo) -> None:
    assert re.search(
        r"hazard ratio per SD of corrected PAD \(\d+\.\d\d years\): \d+\.\d\d \(95% CI", demo.printed
    )
    assert re.search(r"the interval (holds|MISSES) the large-sample limit .*, \d+\.\d\d", demo.printed)
    assert "latent gap's own hazard ratio" in demo.printed
    assert "report.pdf" in demo.printed


def test_every_phantom_is_indexed_and_scored_once(demo: Demo) -> None:
    assert table(
        demo, "select state, coalesce(reason, ''), count(*) from files group by all order by all"
    ) == [
        ("excluded", "not_dicom", 1),
        ("indexed", "", 300),
    ]
    assert table(demo, "select count(*), count(distinct sop_instance_uid) from scores") == [(300, 300)]
    assert table(demo, "select count(*) from score_failures") == [(0,)]


def test_a_score_keeps_its_whole_distribution_and_both_ages(demo: Demo) -> None:
    rows = table(
        demo,
        """select list_sum(age_distribution), spine_age, spine_age_rounded, spine_age_sd, corrected_age, len(age_distribution)
        from scores join corrected_scores using (sop_instance_uid)""",
    )
    assert len(rows) == 300
    for total, age, rounded, sd, corrected, n_classes in rows:
        assert total == pytest.approx(1, abs=1e-4)
        assert 40 <= age <= 100
        assert abs(age - rounded) <= 0.5
        assert sd > 0
        assert corrected is not None
        assert n_classes == 61


def test_references_and_analysed_subjects_are_disjoint(demo: Demo) -> None:
    parts = table(demo, "select split, count(*) from splits group by all order by all")
    assert {name for name, _ in parts} == {"reference", "test"}
    overlap = "select count(*) from (select subject_id, kind from splits group by all having count(*) > 1)"
    assert table(demo, overlap) == [(0,)]


def test_corrected_ages_of_analysed_subjects_are_unbiased_where_raw_ones_are_not_used(demo: Demo) -> None:
    rows = table(
        demo,
        """select avg(c.corrected_age - i.age_years), stddev_samp(c.corrected_age - i.age_years) / sqrt(count(*))
        from corrected_scores c join images i using (sop_instance_uid) join splits s on s.subject_id = i.subject_id
        where s.split = 'test' group by i.kind""",
    )
    for mean, se in rows:
        assert abs(mean) < 5 * se  # the reference part's own error comes on top of one SE


def test_results_have_one_row_per_key(demo: Demo) -> None:
    results = pl.read_parquet(demo.folder / "report" / "results.parquet")
    keys = json.loads((demo.folder / "report" / "results.json").read_text())
    assert results.height == len(keys) > 500
    not_values = [c for c in results.columns if c not in VALUES]
    assert results.select(not_values).is_unique().all()
    assert results.equals(results.sort(RESULT_KEYS, nulls_last=True))
    floats = results.select(pl.selectors.float())
    assert not floats.select(pl.all().is_nan().any()).row(0).count(True)


VALUES = [
    "value",
    "se",
    "lower",
    "upper",
    "conf_level",
    "p_value",
    "p_adjusted",
    "family",
    "df",
    "scale",
    "n",
    "events",
    "person_years",
    "status",
    "flags",
    "note",
]


def test_attrition_sums_hold_at_every_step(demo: Demo) -> None:
    rows = table(
        demo,
        "select cohort, endpoint, n_excluded, n_remaining from attrition where unit <> 'table rows' "
        "order by run_id, cohort, position",
    )
    before: dict[object, int] = {}
    for cohort, endpoint, excluded, remaining in rows:
        key = (cohort, endpoint)
        assert isinstance(excluded, int)
        assert isinstance(remaining, int)
        if endpoint is None and key in before:
            assert before[key] - excluded == remaining
        before[key] = remaining


def test_a_second_run_does_nothing_and_says_so(demo: Demo) -> None:
    report = demo.folder / "report" / "report.pdf"
    before = report.stat().st_mtime_ns
    result = demo.offline.run("run", str(demo.study))
    assert "nothing was done" in result.stdout
    assert report.stat().st_mtime_ns == before
    summary = json.loads(demo.offline.run("run", str(demo.study), "--json").stdout)
    assert summary["changed"] is False
    assert len(summary["stages"]) == 6


def test_no_patient_identifier_is_in_the_report(demo: Demo) -> None:
    needles = [b"DER-20251125-00000", b"VFA-20251125-00000", b"PHANTOM^"]
    folder = demo.folder / "report"
    for file in [p for p in folder.rglob("*") if p.is_file()]:
        content = file.read_bytes()
        for needle in needles:
            assert needle not in content, f"{needle!r} in {file.name}"


def test_every_pdf_page_says_synthetic(demo: Demo) -> None:
    text = subprocess.run(
        ["pdftotext", "-layout", str(demo.folder / "report" / "report.pdf"), "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pages = text.split("\f")[:-1]
    assert len(pages) > 4
    assert all("synthetic" in page.lower() for page in pages)


def test_new_images_are_all_that_a_later_run_scores_and_the_results_are_the_same_to_the_byte(
    demo: Demo, tmp_path: Path
) -> None:
    """Images in two goes, in other batches and by one worker, against all at once by one a core."""
    copy = tmp_path / "demo"
    shutil.copytree(demo.folder, copy)
    moved = sorted((copy / "dicom" / "vfa").glob("*.dcm"))[:3]
    for file in moved:
        file.rename(tmp_path / file.name)
    database = copy / "cohort.duckdb"
    database.unlink()
    shutil.rmtree(copy / "report")
    leave_out_pdfs(copy / "study.toml")
    demo.offline.run("ingest", str(copy / "dicom"), "-d", str(database), "--keep-identifiers")
    first = json.loads(demo.offline.run("score", "-d", str(database), "--workers", "1", "--json").stdout)
    assert first["new"] == 297
    demo.offline.run("run", str(copy / "study.toml"), "-q")
    for file in moved:
        (tmp_path / file.name).rename(file)
    second = json.loads(demo.offline.run("run", str(copy / "study.toml"), "--json").stdout)
    assert stage(second, "score")["counts"]["new"] == 3
    assert stage(second, "analyze")["changed"] is True
    for name in ("results.parquet", "results.json"):
        assert (copy / "report" / name).read_bytes() == (demo.folder / "report" / name).read_bytes()


def leave_out_pdfs(study: Path) -> None:
    """Let a run write no PDF and no figures: they are looked at elsewhere, and take most of its time."""
    with study.open("a", encoding="utf-8") as stream:
        stream.write("\n[report]\nformats = []\n")


def stage(summary: dict[str, list[dict[str, object]]], name: str) -> dict[str, dict[str, int]]:
    (found,) = [s for s in summary["stages"] if s["stage"] == name]
    return found  # type: ignore[return-value]
