"""A study file that is wrong says all of it at once: line, key, what was found, what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinescore.errors import StudyError
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import Study, read_study
from spinescore.study.rules.names import IMAGE_COLUMNS

START = """[study]
title = "t"
database = "d.duckdb"
[subjects]
file = "f.csv"
id = "pid"
"""
SURVIVAL = """[endpoints.death]
type = "survival"
event = "died"
time = "years"
time_origin = "image"
"""


def refusal(folder: Path, text: str) -> list[str]:
    """Return the lines of the error, without the file's name."""
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        read_study(file)
    first, *lines = caught.value.message.split("\n  ")
    n = len(lines)
    assert first == f"{file} has {n} problem{'s' if n > 1 else ''}:"
    assert caught.value.next_step
    return [line.removeprefix(f"{file}:") for line in lines]


EVERYTHING_WRONG = """[study]
title = 5
databse = "d.duckdb"
synthetic = "yes"

[imagse]
sources = "dicom"
index_image = "frist"

[subjects]
file = "f.csv"
id = "pid"
id_width = "8"
sheet = 0
dates = { end = "dym", b = "dmy" }
column = "x"

[cohorts."A set"]
where = "  "
min_age = 70
max_age = 60
rol = "reference"

[cohorts."a Set"]
where = "1=1"

[covariates.kind]
column = "k"
reference = "0"
[covariates.bmi]
colum = "bmi"
type = "numeric"

[endpoint.death]
type = "survival"
evnt = "d"
time = "d"
tiem_origin = "image"
competing = "death"
codes = { "2" = 0, "1" = 2 }

[endpoints.fx]
type = "survivl"
event = "fx"
entry = "e"
entry_date = "f"

[endpoints.hip]
type = "survival"
event = "hip"
competing = "deth"
admin_censor_date = "2020-02-30"

[models]
"Model 1" = ["age", "sxe", "age"]
"Model 2" = "age"

[correction]
reference = { vfa = "A set", vaf = "b" }

[analysis]
primary = { endpoint = "fx", modl = "Model 1" }
horizons_years = [10, 5]
pad_groups = [5, "a"]
age_bands = [40]
conf_level = 95
seed = 1.5
"""
ALL_SAID = """2: study.title: must be text in quotation marks, not 5; write "5"
3: study.databse: no such key; did you mean `database`?
4: study.synthetic: must be true or false, not "yes"
6: imagse: no such section; did you mean `images`?
7: imagse.sources: must be a list in brackets, e.g. ["a", "b"] or [1, 2], not "dicom"; write ["..."]
8: imagse.index_image: "frist" is none of "first", "last" or "mean"; did you mean "first"?
13: subjects.id_width: must be a whole number, not "8"; write 8 without quotation marks
14: subjects.sheet: must be at least 1, not 0
15: subjects.dates.end: "dym" is none of "iso", "ymd", "dmy", "mdy", "sas" or "excel"; did you mean "ymd"?
16: subjects.column: no such key; `column` belongs under [endpoints.NAME] or [covariates.NAME]
19: cohorts."A set".where: must not be empty
21: cohorts."A set".max_age: 60 is not above min_age, 70: nobody is of that age
22: cohorts."A set".rol: no such key; did you mean `role`?
24: cohorts."a Set": differs from `A set` only by capitals or blanks; give it another name
27: covariates.kind: the images have a column of that name; give this another name, e.g. `kind_in_table`
29: covariates.kind.reference: is of categorical covariates; add `type = "categorical"` or leave it out
31: covariates.bmi.colum: no such key; did you mean `column`?
32: covariates.bmi.type: "numeric" is none of "continuous" or "categorical"
34: endpoint: no such section; did you mean `endpoints`?
36: endpoint.death.evnt: no such key; did you mean `event`?
37: endpoint.death.time: `d` is `event` already; name another column
38: endpoint.death.tiem_origin: no such key; did you mean `time_origin`?
39: endpoint.death.competing: an endpoint does not compete with itself
40: endpoint.death.codes.1: must be at most 1, not 2
43: endpoints.fx.type: "survivl" is none of "survival" or "binary"; did you mean "survival"?
46: endpoints.fx.entry_date: stands beside `entry`: keep one of them
48: endpoints.hip: a survival endpoint needs `event` and `time`, `event` and `end_date` or `event_date` and `end_date`
51: endpoints.hip.competing: no survival endpoint `deth`; did you mean `death`?
52: endpoints.hip.admin_censor_date: must be a date such as 2020-12-31, not "2020-02-30"
55: models."Model 1"[1]: no covariate `sxe`; did you mean `sex`?
55: models."Model 1"[2]: `age` is in this model twice
56: models."Model 2": must be a list in brackets, e.g. ["a", "b"] or [1, 2], not "age"; write ["..."]
59: correction.reference.vaf: is none of "radiograph" or "vfa"; did you mean "vfa"?
62: analysis.primary.modl: no such key; did you mean `model`?
63: analysis.horizons_years: 5 comes after 10; values must increase
64: analysis.pad_groups[1]: must be a number, not "a"
65: analysis.age_bands: needs at least 2 values, and has 1
66: analysis.conf_level: must be less than 1, not 95
67: analysis.seed: must be a whole number, not 1.5
"""


def test_everything_is_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, EVERYTHING_WRONG) == ALL_SAID.splitlines()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", ["1: study: the section [study] is missing; it needs `title` and `database`"]),
        ("[study]\ntitle = 't'\n", ["1: study.database: required, and missing"]),
        (
            "[study]\ntitle = ' '\ndatabase = ''\n",
            ["2: study.title: must not be empty", "3: study.database: must not"],
        ),
        (
            '[study]\ntitle = "t"\ndatabase = "C:\\temp\\new"\n',
            ["3: study.database: holds a control character"],
        ),
        (
            START + "delimiter = 1\nformat = true\n",
            ['7: subjects.delimiter: must be ",", ";"', "8: subjects.format: must be"],
        ),
        (START + 'encoding = "utf8000"\n', ["7: subjects.encoding: no such encoding; e.g. utf-8"]),
        (START + "dates = 5\n", ['"excel" or a table in braces, e.g. { a = "b" }, not 5']),
        (
            START + '[cohorts]\nwhere = "1=1"\n',
            ["8: cohorts.where: a name is needed: put it under [cohorts.NAME]"],
        ),
        (
            START + '[[cohorts]]\nwhere = "1=1"\n',
            ["7: cohorts: is a section: write `[cohorts.NAME]` on a line of"],
        ),
        (
            START + "[analysis]\nprimary = 'x'\n",
            ["8: analysis.primary: must be a table: { cohort, endpoint, model }"],
        ),
        (
            START + "[analysis]\nhorizons_years = [inf]\n",
            ["8: analysis.horizons_years[0]: must be a finite number"],
        ),
        (
            START + '[model]\nimported = "a"\nbundle = "b"\n',
            ["8: model.imported: `bundle` scores images and"],
        ),
        (
            START + '[model]\nimported = "a"\n[images]\nsources = ["x"]\n',
            ["10: images.sources: would never be"],
        ),
        ('[study]\ntitle = "t"\ndatabase = "report"\n', []),
        (
            START + "id_width = 5\n[images]\nid_width = 6\n",
            ["7: subjects.id_width: 5 here and 6 under [images]"],
        ),
        (START + 'sex_codes = { "1" = "M" }\n', ["7: subjects.sex_codes: are of `sex`, and no column"]),
        (START + 'sex = "pid"\n', ["7: subjects.sex: `pid` is `id` already"]),
        (START + 'rename = { a = "x", b = "x" }\n', ["7: subjects.rename.b: `a` is renamed to `x` already"]),
        (START + '[covariates.a]\ncolumn = "pid"\n', ["8: covariates.a.column: `pid` is the column of ids"]),
        (
            START + '[covariates.Age]\ncolumn = "a"\n',
            ["7: covariates.Age: in models `age` is that of the images"],
        ),
        (
            START + '[covariates.a]\ncolumn = "a"\n[covariates.A]\ncolumn = "b"\n',
            ["9: covariates.A: differs from `a`"],
        ),
        (
            START + '[endpoints.a]\ntype = "binary"\ncolumn = "a"\n[covariates.a]\ncolumn = "a"\n',
            ["7: endpoints.a: a covariate or a column of the images has that name"],
        ),
        (
            '[study]\ntitle = "t"\ndatabase = "d"\n[endpoints.a]\ntype = "binary"\ncolumn = "a"\n',
            ["4: endpoints: needs a [subjects] table"],
        ),
        (START + '[endpoints.a]\ntype = "binary"\n', ["7: endpoints.a: a binary endpoint needs `column"]),
        (
            START + '[endpoints.a]\ntype = "binary"\ncolumn = "a"\ntime = "t"\n',
            ["10: endpoints.a.time: is of survival endpoints"],
        ),
        (
            START + SURVIVAL.replace('time_origin = "image"\n', ""),
            ["10: endpoints.death.time: durations need `time_origin`"],
        ),
        (START + SURVIVAL + 'end_date = "e"\n', ["12: endpoints.death.end_date: stands beside `time`"]),
        (START + SURVIVAL + 'event_date = "e"\n', ["stands beside `event`", "stands beside `time`"]),
        (START + SURVIVAL + 'column = "e"\n', ["12: endpoints.death.column: is of binary endpoints"]),
        (START + SURVIVAL + 'entry = "years"\n', ["12: endpoints.death.entry: `years` is `time` already"]),
        (
            START + SURVIVAL + 'codes = { "1" = 0 }\n',
            ["12: endpoints.death.codes: no code means 1 (it happened)"],
        ),
        (
            START + SURVIVAL + 'codes = { "1" = 1 }\n',
            ["12: endpoints.death.codes: no code means 0 (it did not"],
        ),
        (START + SURVIVAL + "admin_censor_date = 1020-01-01\n", ["not between 1900 and 2100"]),
        (
            START + '[endpoints.a]\ntype = "survival"\nevent_date = "x"\nend_date = "x"\nunit = "days"\n',
            [
                "10: endpoints.a.end_date: `x` is `event_date` already",
                "11: endpoints.a.unit: is that of durations",
            ],
        ),
        (
            START + SURVIVAL + '[cohorts.r]\nwhere = "1=1"\nrole = "reference"\n',
            ["12: cohorts: every cohort has `role"],
        ),
        (
            START + '[cohorts.r]\nwhere = "1=1"\n[correction]\nreference = { vfa = "r" }\n',
            ["10: correction.reference.vfa: cohort `r` is evaluated"],
        ),
        (
            START + SURVIVAL + '[cohorts.r]\nwhere = "1=1"\nrole = "reference"\n[cohorts.a]\nwhere = "1=1"\n'
            "[analysis]\nprimary = { cohort = 'r', endpoint = 'death', model = 'M' }\n",
            [
                "18: analysis.primary.cohort: cohort `r` is a reference",
                "18: analysis.primary.model: no model `M`; there are none",
            ],
        ),
        (
            START + '[models]\n"Model 1" = ["age", "bmj"]\n[covariates.bmi]\ncolumn = "b"\n',
            ["did you mean `bmi`?"],
        ),
        (
            START + SURVIVAL + 'strata = ["site", "sex"]\ncluster = "bmi"\n'
            '[covariates.bmi]\ncolumn = "b"\n[covariates.sites]\ncolumn = "s"\ntype = "categorical"\n',
            [
                "12: endpoints.death.strata[0]: no categorical covariate `site`; did you mean `sites`?",
                "13: endpoints.death.cluster: no categorical covariate `bmi`",
            ],
        ),
        (
            START + '[analysis]\nsubgroups = ["sex", "agebands"]\nimputations = 5\nthresholds = [0.5, 0.1]\n',
            [
                "8: analysis.subgroups[1]: no categorical covariate `agebands`; did you mean `age_band`?",
                "9: analysis.imputations: 5 is too few for stable intervals: 20 or more, or 0 for none",
                "10: analysis.thresholds: 0.1 comes after 0.5; values must increase",
            ],
        ),
        (
            START + SURVIVAL + '[analysis.families.f]\nendpoints = ["deaht"]\nmodels = ["M"]\n',
            [
                "13: analysis.families.f.endpoints[0]: no endpoint `deaht`; did you mean `death`?",
                "14: analysis.families.f.models[0]: no model `M`; there are none",
            ],
        ),
        (
            START + '[model]\nray_address = "head:6379"\nray_shards = "s"\n',
            [
                '8: model.ray_address: is of a Ray cluster: add `engine = "ray"`, or leave it out',
                "9: model.ray_shards: is of a Ray cluster",
            ],
        ),
        (
            START + '[model]\nengine = "ray"\nray_address = "auto"\nimage_cache = "c"\n',
            ['10: model.image_cache: is of one machine: leave it out, or `engine = "ray"`'],
        ),
        (START + "[Cohorts.a]\nwhere = '1=1'\n", ["7: Cohorts: no such section; did you mean `cohorts`?"]),
        (
            'title = "x"\n[study]\ndatabase = "d"\n',
            ["1: title: no such key; `title` belongs under [study] or"],
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: list[str]) -> None:
    if not said:
        text, said = (
            text.replace("[study]", "[study]\noutput = 'report'"),
            ["2: study.output: `database` is a file"],
        )
    lines = refusal(tmp_path, text)
    for part in said:
        assert any(part in line for line in lines), lines


def test_a_misspelt_key_is_not_also_reported_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path, '[study]\ntitel = "t"\ndatabase = "d"\n') == [
        "2: study.titel: no such key; did you mean `title`?"
    ]


def test_a_wrong_value_is_not_also_reported_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path, START + SURVIVAL.replace('"years"', "5")) == [
        '10: endpoints.death.time: must be text in quotation marks, not 5; write "5"'
    ]


def test_what_goes_with_a_wrong_value_is_not_reported_as_well(tmp_path: Path) -> None:
    assert refusal(tmp_path, START + '[model]\nengine = "rai"\nray_shards = "s"\n') == [
        '8: model.engine: "rai" is none of "local" or "ray"; did you mean "ray"?'
    ]


def test_dates_may_be_toml_dates_or_text(tmp_path: Path) -> None:
    for day in ("2020-12-31", '"2020-12-31"'):
        file = tmp_path / "study.toml"
        file.write_text(START + SURVIVAL + f"admin_censor_date = {day}\n", encoding="utf-8")
        assert str(read_study(file).endpoints["death"].admin_censor_date) == "2020-12-31"


def test_relative_paths_resolve_from_the_study_file(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(
        START
        + '[linkage]\nfile = "l.csv"\ntable_id = "a"\nimage_id = "b"\n[images]\nsources = ["/data", "dicom"]\n'
        '[model]\nengine = "ray"\nray_shards = "shared"\n',
        encoding="utf-8",
    )
    study = read_study(file)
    assert study.study.database == tmp_path / "d.duckdb"
    assert study.subjects is not None
    assert study.linkage is not None
    assert (study.subjects.file, study.linkage.file) == (tmp_path / "f.csv", tmp_path / "l.csv")
    assert study.images.sources == (Path("/data"), tmp_path / "dicom")
    assert study.model.ray_shards == tmp_path / "shared"


def test_a_study_made_by_other_means_obeys_the_same_rules() -> None:
    with pytest.raises(ValueError, match=r"endpoints\.a: a survival endpoint needs"):
        Study.model_validate(
            {
                "study": {"title": "t", "database": "d"},
                "subjects": {"file": "f", "id": "i"},
                "endpoints": {"a": {"type": "survival"}},
            }
        )


def test_no_name_can_be_taken_for_a_column_of_the_images(database: Path) -> None:
    anything = {"model_id": "x", "preprocessing_id": "x", "method": "x"}
    with open_warehouse(database, create=True) as warehouse:
        columns = warehouse.fetch("cohort/scored_images", **anything).columns
    assert set(columns) <= IMAGE_COLUMNS
