"""The two unit files of a scheduled study, as text; nothing here touches the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinescore.errors import ScheduleError

PREFIX = "spinescore-"
# AF_UNIX is what worker processes and the journal are spoken to by; nothing of a run goes over a network
SANDBOX = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "KeyringMode=private",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A study that systemd runs.

    Parameters
    ----------
    job_id : str
    study : Path
        Absolute, as all paths.
    calendar : str
        As systemd writes it.
    python : str
        The interpreter that spinescore is installed for.
    home : Path
        SPINESCORE_HOME.
    writable : tuple of Path
        Folders a run writes to; all else is read-only to it.
    memory : str
        What systemd takes as MemoryMax, e.g. ``8G`` or ``75%``.
    delay_minutes : float
        Up to so long after the time, at random.
    sandbox : bool
        Whether all but ``writable`` and the network are kept from it.
    private_tmp : bool
        False where what the study reads or writes lies in /tmp.
    """

    job_id: str
    study: Path
    calendar: str
    python: str
    home: Path
    writable: tuple[Path, ...]
    memory: str = "75%"
    delay_minutes: float = 5
    sandbox: bool = True
    private_tmp: bool = True

    @property
    def service(self) -> str:
        """The name of the service."""
        return f"{PREFIX}{self.job_id}.service"

    @property
    def timer(self) -> str:
        """The name of the timer."""
        return f"{PREFIX}{self.job_id}.timer"

    def units(self) -> dict[str, str]:
        """Return the unit files by their names.

        Raises
        ------
        ScheduleError
            If a path has a line break.
        """
        return {self.service: _join(self._service()), self.timer: _join(self._timer())}

    def _service(self) -> list[str]:
        command = " ".join(
            _quoted(word, "$") for word in (self.python, "-m", "spinescore", "run", str(self.study))
        )
        lines = [
            "[Unit]",
            f"Description=spinescore run {_plain(str(self.study))}",
            "",
            "[Service]",
            "Type=oneshot",
            f"ExecStart={command}",
            "SuccessExitStatus=3",
            f"Environment={_quoted(f'SPINESCORE_HOME={self.home}')}",
            "UMask=0077",
            f"MemoryMax={self.memory}",
            "CPUWeight=20",
            "Nice=10",
            "IOSchedulingClass=idle",
        ]
        if self.sandbox:
            temporary = () if self.private_tmp else (Path("/tmp"), Path("/var/tmp"))
            places = " ".join(_quoted(str(path)) for path in (*self.writable, *temporary))
            private = "yes" if self.private_tmp else "no"
            lines += [*SANDBOX, f"PrivateTmp={private}", f"ReadWritePaths={places}"]
        return lines

    def _timer(self) -> list[str]:
        return [
            "[Unit]",
            f"Description=when spinescore runs {_plain(str(self.study))}",
            "",
            "[Timer]",
            f"OnCalendar={self.calendar}",
            "Persistent=true",
            f"RandomizedDelaySec={self.delay_minutes:g}min",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
            "[X-spinescore]",
            f"Calendar={self.calendar}",
            f"Study={self.study}",
        ]


def read_timer(text: str) -> dict[str, str]:
    """Return ``Calendar`` and ``Study`` of a timer of ours; empty if it is none.

    >>> read_timer("[Timer]\\n[X-spinescore]\\nCalendar=daily\\nStudy=/a b/s.toml\\n")
    {'Calendar': 'daily', 'Study': '/a b/s.toml'}
    """
    _, _, own = text.partition("[X-spinescore]\n")
    return dict(line.split("=", 1) for line in own.splitlines() if "=" in line)


def _join(lines: list[str]) -> str:
    if any("\n" in line or "\r" in line for line in lines):
        raise ScheduleError("A path has a line break, which no unit file can hold.", "Rename the folder.")
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str, also_doubled: str = "") -> str:
    """Return a word as systemd reads it back: quoted, its specifiers and variables doubled."""
    text = word.replace("\\", "\\\\").replace('"', '\\"')
    for sign in "%" + also_doubled:
        text = text.replace(sign, 2 * sign)
    return f'"{text}"'
