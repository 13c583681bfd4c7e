"""Each look of `doctor` at a thing that is broken, and at one that is not."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import subprocess
import sys
import zoneinfo
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from spinescore import doctor
from spinescore.cli import app
from spinescore.core.diagnosis.finding import Finding, judge, worst
from spinescore.core.diagnosis.mounts import find_mount, parse_mounts
from spinescore.core.diagnosis.processor import judge_processor, parse_cpuinfo
from spinescore.core.diagnosis.requirements import judge_packages, judge_python
from spinescore.shell.bundles import demo_bundle_path
from spinescore.shell.diagnosis import decoders, machine, models, places, software, stores
from spinescore.shell.identity import key_file, pseudonymiser
from spinescore.shell.pixels.frame_decoders import FRAME_DECODERS
from spinescore.shell.resources import home
from spinescore.shell.warehouse import SCHEMA_VERSION, open_warehouse
from spinescore.shell.workers import WorkerFailure

RUNNER = CliRunner()


def named(findings: Iterable[Finding], name: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.name == name]
    return finding


def assert_broken(finding: Finding, state: str, *words: str) -> None:
    """It is in this state, and says what to do in these words."""
    assert finding.state == state, finding
    for word in words:
        assert word in finding.advice, finding


def test_the_worst_finding_decides() -> None:
    fine, odd, broken = (
        judge("a", "b", "c"),
        judge("a", "b", "c", warn="Look."),
        judge("a", "b", "c", fail="Mend."),
    )
    assert [worst([]), worst([fine]), worst([odd, fine]), worst([odd, broken, fine])] == [
        "pass", "pass", "warn", "fail",
    ]  # fmt: skip


def test_a_python_or_package_out_of_range_is_named() -> None:
    assert judge_python("3.13.1", ">=3.11").state == "pass"
    assert_broken(judge_python("3.9.2", ">=3.11"), "fail", "virtual environment")
    wanted = ["duckdb>=1.4", "polars>=1.30", 'ruff>=0.8; extra == "dev"', "weasyprint>=68"]
    found = judge_packages(wanted, {"duckdb": "1.3.9", "polars": "1.30.0", "ruff": None, "weasyprint": None})
    assert [(f.name, f.state) for f in found] == [("duckdb", "fail"), ("weasyprint", "fail")]
    assert found[0].found == "1.3.9, wanted >=1.4"
    (whole,) = judge_packages(wanted[:2], {"duckdb": "2.0.0", "polars": "1.31"})
    assert whole.state == "pass"


def test_what_pyproject_asks_for_is_what_is_held_against_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert worst(list(software.look_at_packages())) == "pass"
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.1" if name == "pydicom" else real(name))
    assert_broken(named(software.look_at_packages(), "pydicom"), "fail", "pip install")


def test_time_zones_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(software, "ZoneInfo", missing)
    assert_broken(named(software.look_at_time(), "time zones"), "warn", "tzdata")


def test_a_clock_that_is_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert named(software.look_at_time(), "clock").state == "pass"
    (tmp_path / "__init__.py").touch()
    os.utime(tmp_path / "__init__.py", (4e9, 4e9))
    monkeypatch.setattr(software, "PACKAGE", tmp_path)
    assert_broken(named(software.look_at_time(), "clock"), "fail", "timedatectl")


def test_a_pdf_is_made_and_one_without_pango_or_font_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named(software.look_at_paper(), "PDF").state == "pass"
    monkeypatch.setattr("spinescore.shell.render.font_faces", lambda: "")
    assert_broken(named(software.look_at_paper(), "PDF"), "warn", "libpango")

    def without(html: str) -> bytes:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr("spinescore.shell.render.render_pdf", without)
    assert_broken(named(software.look_at_paper(), "PDF"), "warn", "libpango")


def test_charts_that_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda spec: "")
    assert_broken(named(software.look_at_charts(), "charts"), "fail", "vl-convert-python")


def test_there_is_a_sample_for_every_transfer_syntax_that_is_decoded() -> None:
    native = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
    assert {sample["syntax"] for sample in decoders.samples()} == native | set(FRAME_DECODERS)


def test_every_sample_is_decoded_as_it_was_coded() -> None:
    for sample in decoders.samples():
        finding = decoders.judge_decoded(sample, decoders.decode_sample(sample))
        assert finding.state == "pass", finding


def test_a_decoder_that_fails_or_gives_other_values(monkeypatch: pytest.MonkeyPatch) -> None:
    known = decoders.samples()
    rle, lossy, cut = (next(s for s in known if s["name"] == n) for n in ("RLE", "JPEG 2000", "JPEG-LS"))
    values = decoders.decode_sample(rle)
    assert_broken(decoders.judge_decoded(rle, values ^ 1), "fail", "transfer syntax")
    assert_broken(decoders.judge_decoded(lossy, values + 200), "fail")
    assert_broken(decoders.judge_decoded(rle, values[:-1]), "fail")
    damaged = base64.b64encode(base64.b64decode(cut["file"])[:-800]).decode()
    monkeypatch.setattr(decoders, "samples", lambda: (dict(cut, file=damaged),))
    (finding,) = decoders.look_at_decoders()
    assert_broken(finding, "fail", "transfer syntax")


@pytest.mark.parametrize(
    ("flags", "state"),
    [("fpu avx2 avx512_bf16", "pass"), ("asimd", "pass"), ("sse4_2", "warn"), ("fpu", "fail"), ("", "warn")],
)
def test_processors(flags: str, state: str) -> None:
    finding = judge_processor(parse_cpuinfo(f"model name\t: A\nflags\t\t: {flags}\n\nmodel name : A\n", 2))
    assert finding.state == state
    assert ("with bfloat16" in finding.found) == ("bf16" in flags)


def test_little_memory_and_few_open_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n")
    monkeypatch.setattr(machine, "CGROUP_LIMIT", limit)
    assert_broken(named(machine.look_at_machine(), "memory"), "warn", "--workers 1")
    assert machine.memory_bytes() == 2_000_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert_broken(named(machine.look_at_machine(), "open files"), "warn", "ulimit -n 1024")


def test_a_gpu_that_torch_cannot_use_and_none_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(machine, "DEVICES", (tmp_path / "none",))
    assert "OpenVINO" in named(machine.look_at_gpu(), "GPU").found
    monkeypatch.setattr(machine, "DEVICES", (tmp_path,))
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15\n")
    monkeypatch.setattr(machine, "DRIVER", driver)
    monkeypatch.setattr(torch.version, "cuda", None)
    finding = named(machine.look_at_gpu(), "GPU")
    assert_broken(finding, "warn", "CUDA build", "--device cpu")
    assert "550.54.15" in finding.found
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_broken(named(machine.look_at_gpu(), "GPU"), "warn", "driver", "/dev/nvidia")


def test_who_starts_schedules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    process = tmp_path / "1" / "comm"
    process.write_text("systemd\n")
    monkeypatch.setattr(machine, "PROCESSES", tmp_path)
    monkeypatch.setattr(machine, "LINGERING", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("USER", "research")
    assert_broken(named(machine.look_at_schedules(), "schedules"), "warn", "enable-linger research", "cron")
    (tmp_path / "research").touch()
    assert "lingering" in named(machine.look_at_schedules(), "schedules").found
    process.write_text("cron\n")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/crontab")
    assert named(machine.look_at_schedules(), "schedules").found == "started by cron"


MOUNTS = """22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:31 / /mnt/archive rw - nfs4 server:/archive rw
31 22 0:32 / /mnt/with\\040blank rw - fuse.sshfs host: rw
32 22 0:33 / /mnt/archive/local rw - xfs /dev/sdb1 rw
33 22 0:34 / /run/user rw - tmpfs tmpfs rw
34 22 0:35 / /mnt/cd ro - iso9660 /dev/sr0 ro
35 22 0:36 / /mnt/share rw - cifs //server/share rw
36 22 0:37 / /mnt/disk rw - fuseblk /dev/sdc1 rw
37 22 0:38 / /mnt/over rw - ext4 /dev/sdd1 rw
38 22 0:39 / /mnt/over rw - virtiofs host rw
a line that is none
"""


@pytest.mark.parametrize(
    ("folder", "kind", "networked"),
    [
        ("/srv/a", "ext4", False),
        ("/mnt/archive/a", "nfs4", True),
        ("/mnt/archives", "ext4", False),
        ("/mnt/archive/local/a", "xfs", False),
        ("/mnt/with blank/a", "fuse.sshfs", True),
        ("/mnt/share", "cifs", True),
        ("/mnt/disk", "fuseblk", False),
        ("/mnt/over/a", "virtiofs", True),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str, networked: bool) -> None:
    mount = find_mount(parse_mounts(MOUNTS), Path(folder))
    assert mount is not None
    assert (mount.kind, mount.is_networked) == (kind, networked)


@pytest.mark.parametrize(
    ("kind", "options", "state", "word"),
    [
        ("nfs4", "rw", "fail", "backup"),
        ("cifs", "rw", "fail", "backup"),
        ("tmpfs", "rw", "warn", "next start"),
        ("ext4", "ro", "fail", "read-only"),
        ("ext4", "rw", "pass", ""),
    ],
)
def test_a_database_on_another_machine_in_memory_or_read_only(
    kind: str, options: str, state: str, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted = tmp_path / "mountinfo"
    mounted.write_text(f"22 1 8:1 / / {options} - {kind} source rw\n")
    monkeypatch.setattr(places, "MOUNTINFO", mounted)
    assert_broken(named(places.look_at_place(tmp_path / "a.duckdb"), "file system"), state, word)


def test_a_folder_that_is_not_there_or_open_to_all(tmp_path: Path) -> None:
    (finding,) = places.look_at_place(tmp_path / "unmounted" / "a.duckdb")
    assert_broken(finding, "fail", "mount")
    tmp_path.chmod(0o777)
    assert_broken(
        named(places.look_at_place(tmp_path / "a.duckdb"), "database's folder"), "fail", "chmod o-w"
    )
    tmp_path.chmod(0o1777)
    assert named(places.look_at_place(tmp_path / "a.duckdb"), "database's folder").state == "pass"


def test_files_that_others_can_read(tmp_path: Path, database: Path) -> None:
    with open_warehouse(database, create=True):
        pass
    assert named(places.look_at_place(database), "mode of cohort.duckdb").state == "pass"
    for mode, state in ((0o644, "fail"), (0o660, "fail"), (0o640, "pass")):
        database.chmod(mode)
        assert named(places.look_at_place(database), "mode of cohort.duckdb").state == state, oct(mode)
    home().chmod(0o755)
    key_file().write_text("00" * 32)
    key_file().chmod(0o640)
    found = list(places.look_at_home())
    assert_broken(named(found, "SPINESCORE_HOME"), "warn", "chmod 700")
    assert_broken(named(found, "pseudonym key"), "fail", "chmod 600")


def test_what_is_another_users(monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
    with open_warehouse(database, create=True):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert_broken(named(places.look_at_place(database), "mode of cohort.duckdb"), "warn", "as its owner")
    assert_broken(named(places.look_at_home(), "SPINESCORE_HOME"), "warn", "as its owner")


def test_a_home_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "file" / "home"))
    (finding,) = places.look_at_home()
    assert_broken(finding, "fail", "SPINESCORE_HOME")


def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**8))
    assert_broken(
        named(places.look_at_place(tmp_path / "a.duckdb"), "room beside the database"), "warn", "room"
    )


def test_a_database_and_its_key(database: Path) -> None:
    (none,) = stores.look_at_database(database)
    assert_broken(none, "warn", "ingest")
    with open_warehouse(database, create=True) as warehouse:
        pseudonymiser(warehouse)
    assert worst(list(stores.look_at_database(database))) == "pass"
    key = key_file().read_text()
    key_file().write_text("ab" * 32)
    other = named(stores.look_at_database(database), "pseudonym key")
    assert_broken(other, "fail", "never make another")
    assert key not in str(other)
    key_file().write_text("no key")
    assert_broken(named(stores.look_at_database(database), "pseudonym key"), "fail", "SPINESCORE_HOME")
    key_file().unlink()
    assert_broken(named(stores.look_at_database(database), "pseudonym key"), "fail", "Put the key")


@pytest.mark.parametrize(("version", "state", "word"), [(99, "fail", "upgrade"), (3, "warn", "migrates")])
def test_a_database_of_another_schema_is_told_and_not_migrated(
    version: int, state: str, word: str, database: Path
) -> None:
    with open_warehouse(database, create=True):
        pass
    with duckdb.connect(str(database)) as connection:
        connection.execute("update meta set value = $v where key = 'schema_version'", {"v": str(version)})
    before = database.read_bytes()
    finding = named(stores.look_at_database(database), "schema")
    assert_broken(finding, state, word)
    assert finding.found == f"{version}, this spinescore's is {SCHEMA_VERSION}"
    assert database.read_bytes() == before


def test_a_file_that_is_no_database_of_ours(database: Path) -> None:
    database.write_bytes(b"not a database" * 1000)
    (finding,) = stores.look_at_database(database)
    assert_broken(finding, "fail")
    database.unlink()
    duckdb.connect(str(database)).close()
    (finding,) = stores.look_at_database(database)
    assert_broken(finding, "fail", "backup")


def test_a_database_that_another_process_holds_is_named_with_it(database: Path) -> None:
    with open_warehouse(database, create=True):
        pass
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        (finding,) = stores.look_at_database(database)
        holder.communicate("")
    assert_broken(finding, "warn", "Wait")
    assert str(holder.pid) in finding.found


def test_a_bundle_that_was_altered(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle_path(), bundle)
    assert [finding.state for finding in models.look_at_bundle(str(bundle))] == ["pass"]
    (bundle / "MODEL_CARD.md").write_text("better")
    (finding,) = models.look_at_bundle(str(bundle))
    assert_broken(finding, "fail", "again")


@pytest.mark.parametrize(
    ("off", "state"), [(0.0, "pass"), (0.009, "pass"), (-0.011, "fail"), (float("nan"), "fail")]
)
def test_a_golden_image_of_another_age(off: float, state: str) -> None:
    golden = {"model_id": "a", "spine_age": 60.0, "tolerance_years": 0.01}
    assert models.judge_golden(golden, ("a", 60.0 + off, "here")).state == state


def test_a_golden_image_scored_by_another_model_or_not_at_all() -> None:
    golden = {"model_id": "a", "spine_age": 60.0, "tolerance_years": 0.01}
    assert_broken(models.judge_golden(golden, ("b", 60.0, "here")), "fail", "again")
    assert_broken(models.judge_golden(golden, WorkerFailure("decoder_crashed", "signal 4")), "fail")


def test_a_look_that_breaks_is_a_failure_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_at_moon() -> Iterable[Finding]:
        raise ImportError("libmoon.so: no such file")

    monkeypatch.setattr(doctor, "_looks", lambda request: [look_at_moon, software.look_at_time])
    found = list(doctor.examine(doctor.DoctorRequest()))
    assert_broken(named(found, "moon"), "fail", "again")
    assert "libmoon" in named(found, "moon").found
    assert len(found) == 3


@pytest.mark.parametrize(("state", "status"), [("pass", 0), ("warn", 3), ("fail", 1)])
def test_the_exit_status_is_of_the_worst_line(
    state: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [judge("a", "fine", "it is"), Finding("a", "b", state, "c", "" if state == "pass" else "Do.")]  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "examine", lambda request: iter(lines))
    shown = RUNNER.invoke(app, ["doctor"])
    assert shown.exit_code == status
    assert f"{state}  a, b: c" in shown.stdout
    spoken = RUNNER.invoke(app, ["doctor", "--json"])
    assert spoken.exit_code == status
    assert json.loads(spoken.stdout)["state"] == state
