"""The built wheel works with the sources out of reach: SQL, templates, data and bundle are inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import spinescore, sys
from pathlib import Path
assert Path(spinescore.__file__).is_relative_to(sys.argv[1]), spinescore.__file__
from spinescore.shell.resources import resource, sql
for parts in (("sql", "schema"), ("templates", "report"), ("data", "demo-study.toml"), ("data", "demo-truth.json")):
    assert resource(*parts).is_relative_to(sys.argv[1]), parts
from spinescore.shell.catalogues import languages, read_catalogue
assert [len(read_catalogue(code).info()) > 0 for code in languages()] == [False, True], languages()
from spinescore.shell.korean_face import korean_faces
assert len(korean_faces("척추", "ko")) > 50_000
from spinescore.verify import verify_statistics
assert verify_statistics().agrees
assert {path.suffix for path in (Path(sys.argv[1]) / "spinescore" / "reference").iterdir()} == {".json", ".csv", ".R"}
from spinescore.shell.bundles import demo_bundle_path, load_bundle
print(load_bundle(demo_bundle_path()).model_id, len(sql("score/pending")) > 0)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    return next(out.glob("*.whl"))


def test_the_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(installed),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    shown = subprocess.run(
        [sys.executable, "-c", CODE, str(installed)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split()[1] == "True"


def test_the_wheel_holds_no_test_and_no_large_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert not [name for name in names if name.startswith("tests/")]
        bundle = sum(i.file_size for i in archive.infolist() if "demo-bundle" in i.filename)
    assert 0 < bundle <= 20 * 2**20
