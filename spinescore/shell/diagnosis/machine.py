"""The machine: processor, memory, open files, the GPU, and who starts schedules."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.core.diagnosis.processor import judge_processor, parse_cpuinfo

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
DRIVER = Path("/proc/driver/nvidia/version")
DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
LINGERING = Path("/var/lib/systemd/linger")
PROCESSES = Path("/proc")
CRON_DAEMONS = frozenset({"cron", "crond", "fcron", "cronie", "busybox-cron"})
LEAST_MEMORY_GB = 8.0
FEWEST_OPEN_FILES = 1024


def look_at_machine() -> Iterator[Finding]:
    """Look at processor, memory and the limit of open files."""
    n_cores = len(os.sched_getaffinity(0))
    yield judge_processor(parse_cpuinfo(_text(CPUINFO), n_cores))
    memory_gb = memory_bytes() / 1e9
    yield judge(
        "machine",
        "memory",
        f"{memory_gb:.1f} GB for this process",
        warn=""
        if memory_gb >= LEAST_MEMORY_GB
        else f"Give it {LEAST_MEMORY_GB:.0f} GB, or score with fewer workers (`score --workers 1`).",
    )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    yield judge(
        "machine",
        "open files",
        f"{'no limit' if soft == endless else f'{soft:,} at once'}",
        warn=f"Raise it: ulimit -n {FEWEST_OPEN_FILES}" if endless != soft < FEWEST_OPEN_FILES else "",
    )


def look_at_gpu() -> Iterator[Finding]:
    """Say whether torch and a driver agree that there is a GPU, and what it means if there is none."""
    version = metadata.version("torch")
    if not any(device.exists() for device in DEVICES):
        yield judge("machine", "GPU", f"none, torch {version}: OpenVINO scores on the processor")
        return
    import torch

    driver = next(
        (line for line in _text(DRIVER).splitlines() if "Kernel Module" in line), "of unknown version"
    )
    built_for = torch.version.cuda
    found = f"driver {' '.join(driver.split())}; torch {version}, CUDA {built_for or 'not built in'}"
    if built_for is None:
        yield judge(
            "machine", "GPU", found, warn="Install the CUDA build of torch, or score with --device cpu."
        )
    elif not torch.cuda.is_available():
        advice = "Is the driver as new as this CUDA needs, and may this user open /dev/nvidia*?"
        yield judge("machine", "GPU", found, warn=f"torch cannot use it. {advice}")
    else:
        yield judge("machine", "GPU", f"{torch.cuda.get_device_name()}; {found}")


def look_at_schedules() -> Iterator[Finding]:
    """Say who would start a scheduled run of this user: a cron that runs, or systemd with lingering."""
    user = os.environ.get("USER") or _user()
    cron = cron_runs()
    systemd = _runs(frozenset({"systemd"})) and (LINGERING / user).exists()
    who = " and ".join(name for name, there in (("cron", cron), ("systemd, lingering", systemd)) if there)
    yield judge(
        "machine",
        "schedules",
        f"started by {who}" if who else "nobody would start them",
        warn=""
        if who
        else f"Start cron (Debian: apt-get install cron), or let systemd: loginctl enable-linger {user}.",
    )


def cron_runs() -> bool:
    """Tell whether there is a cron that would start what a crontab names."""
    return shutil.which("crontab") is not None and _runs(CRON_DAEMONS)


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container if that is less."""
    lines = (line.split() for line in _text(MEMINFO).splitlines())
    total = next((int(words[1]) * 1024 for words in lines if words and words[0] == "MemTotal:"), 0)
    limit = _text(CGROUP_LIMIT).strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's number without a name
        return str(os.getuid())


def _runs(names: frozenset[str]) -> bool:
    """Tell whether a process of one of these names runs."""
    return any(_text(folder / "comm").strip() in names for folder in PROCESSES.glob("[0-9]*"))


def _text(path: Path) -> str:
    """Return a file's text; nothing if it is not there or went away."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
