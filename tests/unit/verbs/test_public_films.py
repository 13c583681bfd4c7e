"""examples/public-films on phantoms written in the collections' own formats: from films to indexed ages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.phantom.person import Person, draw_people
from spinescore.core.phantom.radiograph import Rendered, render
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.preparation import PendingImage, prepare_image
from spinescore.shell.training_set import load_training_images
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import read_study

EXAMPLE = Path(__file__).parents[3] / "examples" / "public-films"
N = 4


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def films_to_dicom() -> ModuleType:
    return _load("films_to_dicom")


@pytest.fixture(scope="module")
def fixed_width_to_csv() -> ModuleType:
    return _load("fixed_width_to_csv")


@pytest.fixture(scope="module")
def phantoms() -> list[tuple[Person, Rendered]]:
    people = draw_people(N, seed=11, cohort="derivation")
    return [(who, render(who, kind="radiograph", seed=11, height=400)) for who in people]


def _brightness(rendered: Rendered) -> np.ndarray:
    """Pixels as 12 bits, bone bright."""
    values = rendered.pixels.astype(float) / ((1 << rendered.bits_stored) - 1)
    values = 1 - values if rendered.photometric == "MONOCHROME1" else values
    return np.rint(values * 4095).astype(np.uint16)


def _index(folder: Path, database: Path) -> dict[str, tuple[float, str, str]]:
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder], workers=1))
        images = warehouse.table("images")
    assert images["kind"].unique().to_list() == ["radiograph"]
    columns = ("subject_id", "age_years", "sex", "manufacturer")
    return {subject: tuple(rest) for subject, *rest in images.select(columns).iter_rows()}  # type: ignore[misc]


def test_jpegs_named_by_number_sex_and_age_become_indexed_radiographs(
    films_to_dicom: ModuleType,
    phantoms: list[tuple[Person, Rendered]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    films = tmp_path / "BUU-LSPINE" / "LA"
    films.mkdir(parents=True)
    for number, (who, rendered) in enumerate(phantoms, 1):
        eight_bit = (_brightness(rendered) >> 4).astype(np.uint8)
        name = f"{number:04d}-{who.sex}-{int(who.age_years):03d}Y"
        Image.fromarray(eight_bit).save(films / f"{name}1.jpg", quality=95)
        Image.fromarray(eight_bit).save(films / f"{name}0.jpg", quality=95)  # an AP film
    arguments = [str(films), str(tmp_path / "dicom"), "--collection", "BUU-LSPINE"]
    status = films_to_dicom.main([*arguments, "--names", r"(?P<id>\d+)-(?P<sex>[FM])-(?P<age>\d+)Y1\.jpg"])
    assert status == 3
    assert capsys.readouterr().err.count("name does not match") == N
    found = _index(tmp_path / "dicom", tmp_path / "buu.duckdb")
    assert sorted(age for age, *_ in found.values()) == sorted(int(who.age_years) for who, _ in phantoms)
    assert sorted(sex for _, sex, _ in found.values()) == sorted(who.sex for who, _ in phantoms)


@pytest.mark.parametrize("byte_order", ["big", "little"])
def test_raw_films_and_a_survey_table_become_indexed_radiographs(
    films_to_dicom: ModuleType,
    fixed_width_to_csv: ModuleType,
    phantoms: list[tuple[Person, Rendered]],
    tmp_path: Path,
    byte_order: str,
) -> None:
    films = tmp_path / "fullres"
    films.mkdir()
    lines = []
    for number, (who, rendered) in enumerate(phantoms, 1):
        film = np.asarray(
            Image.fromarray(_brightness(rendered).astype(np.float32)).resize((256, 320))
        )  # the collection has one size
        order = ">u2" if byte_order == "big" else "<u2"
        (films / f"L{number:05d}.nh2").write_bytes(np.rint(film).astype(order).tobytes())
        lines.append(f"{number:05d}X{'12'[who.sex == 'F']}{int(who.age_years):02d}")
    (tmp_path / "DU5302.TXT").write_text("\n".join(lines) + "\n")
    (tmp_path / "DU5302.SAS").write_text("DATA A; INFILE X;\nINPUT SEQN 1-5\n SEX 7\n @8 AGE 2.\n;\nRUN;")
    tables = [str(tmp_path / name) for name in ("DU5302.TXT", "DU5302.SAS", "people.csv")]
    fixed_width_to_csv.main([*tables, "id=seqn", "age=AGE", "sex=SEX"])
    arguments = [str(films), str(tmp_path / "dicom"), "--collection", "NHANES-II"]
    arguments += ["--raw", f"320x256:{byte_order}", "--people", tables[2], "--spacing-mm", "0.175"]
    status = films_to_dicom.main([*arguments, "--names", r"L(?P<id>\d+)\..*"])
    assert status == 0
    found = _index(tmp_path / "dicom", tmp_path / "n.duckdb")
    assert len(found) == N
    assert sorted(age for age, *_ in found.values()) == sorted(int(who.age_years) for who, _ in phantoms)
    with open_warehouse(tmp_path / "n.duckdb") as warehouse:
        assert warehouse.table("images")["bits_stored"].unique().to_list() == [12]
        study = read_study(EXAMPLE / "nhanes2.toml")
        spec = PreprocessingSpec(height=64, width=32)
        cache, synthetic = load_training_images(warehouse, study, spec, tmp_path / "cache")
    assert cache.table.height == N
    assert not synthetic  # the films say nothing of being phantoms: they stand for real ones
    # bright bone on a dark ground came through, whatever the order of the bytes
    spread = [float(image.astype(float).std()) for image in cache.images[:N]]
    assert min(spread) > 20


def test_what_is_wrong_is_said_and_nothing_is_overwritten(
    films_to_dicom: ModuleType, fixed_width_to_csv: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "L00001.nh2").write_bytes(b"\0" * 10)
    (tmp_path / "films" / "L00002.nh2").write_bytes(b"\0" * 10)
    (tmp_path / "people.csv").write_text("id,age,sex\n00001,50,1\n00002,,2\n")
    arguments = [str(tmp_path / "films"), str(tmp_path / "out"), "--collection", "X", "--raw", "320x256"]
    arguments += ["--people", str(tmp_path / "people.csv"), "--names", r"L(?P<id>\d+)\.nh2"]
    left_out = dict(films_to_dicom.convert(films_to_dicom.parse(arguments)))
    assert left_out["L00001.nh2"] == "10 bytes, fewer than the 163840 of its layout"
    assert left_out["L00002.nh2"] == "2 is not in the table of people, or has no age there"
    (tmp_path / "out" / "kept.txt").write_text("mine")
    with pytest.raises(SystemExit, match="is not empty"):
        films_to_dicom.convert(films_to_dicom.parse(arguments))
    with pytest.raises(SystemExit, match="lacks age, sex"):
        films_to_dicom.convert(films_to_dicom.parse([*arguments[:4], "--names", r"(?P<id>\d+)"]))
    (tmp_path / "p.sas").write_text("INPUT A 1-2;")
    with pytest.raises(SystemExit, match="places no variable B"):
        fixed_width_to_csv.main([str(tmp_path / "people.csv"), str(tmp_path / "p.sas"), "out.csv", "x=B"])


@pytest.mark.parametrize("name", ["buu-lspine", "nhanes2"])
def test_the_study_files_are_valid(name: str) -> None:
    assert read_study(EXAMPLE / f"{name}.toml").train.backbone == "efficientnet-b4"


def test_positions_are_read_from_a_sas_program(fixed_width_to_csv: ModuleType) -> None:
    found = fixed_width_to_csv.read_positions("INPUT SEQN 1-5 NAME $ 6-9 SEX 10 @12 AGE 2. @14 CODE $CHAR3.;")
    assert found == {"SEQN": (1, 5), "NAME": (6, 9), "SEX": (10, 10), "AGE": (12, 13), "CODE": (14, 16)}


def test_an_image_written_from_a_film_decodes_to_the_films_pixels(
    films_to_dicom: ModuleType, tmp_path: Path
) -> None:
    film = np.random.default_rng(0).integers(0, 4096, (100, 80)).astype(np.uint16)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "1-F-050Y1.raw").write_bytes(b"header" + film.astype(">u2").tobytes())
    arguments = [str(tmp_path / "films"), str(tmp_path / "out"), "--collection", "X", "--raw", "100x80"]
    arguments += ["--names", r"(?P<id>\d+)-(?P<sex>[FM])-(?P<age>\d+)Y1\.raw"]
    assert films_to_dicom.main(arguments) == 0
    written = tmp_path / "out" / "1-F-050Y1.dcm"
    from spinescore.shell.pixels.decoding import decode

    with written.open("rb") as handle:
        assert np.array_equal(decode(handle).pixels, film)
    stat = written.stat()
    image = PendingImage(
        "1", "radiograph", str(written).encode(), stat.st_size, stat.st_mtime_ns, has_facts=True
    )
    assert prepare_image(image, spec=PreprocessingSpec(height=64, width=32), thresholds={}).image is not None
