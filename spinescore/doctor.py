"""Everything an installation needs, looked at one by one: each passes or says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.shell.diagnosis.decoders import look_at_decoders
from spinescore.shell.diagnosis.machine import look_at_gpu, look_at_machine, look_at_schedules
from spinescore.shell.diagnosis.models import look_at_bundle, look_at_golden_image
from spinescore.shell.diagnosis.places import look_at_home, look_at_place
from spinescore.shell.diagnosis.software import (
    look_at_charts,
    look_at_packages,
    look_at_paper,
    look_at_time,
)
from spinescore.shell.diagnosis.stores import look_at_database

Look = Callable[[], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """What to look at besides the installation: a database, a model bundle."""

    database: Path | None = None
    model: str = "demo"


def examine(request: DoctorRequest) -> Iterator[Finding]:
    """Yield a finding for each thing looked at, as it is found; a look that breaks is a failure itself.

    Nothing is changed but what scoring changes, too: SPINESCORE_HOME is made, and the compiled demonstration
    network kept in its cache.
    """
    for look in _looks(request):
        yield from _look(look)


def _looks(request: DoctorRequest) -> list[Look]:
    looks: list[Look] = [
        look_at_packages,
        look_at_time,
        look_at_paper,
        look_at_charts,
        look_at_decoders,
        look_at_machine,
        look_at_gpu,
        look_at_schedules,
        look_at_home,
    ]
    if request.database is not None:
        looks += [partial(look_at_place, request.database), partial(look_at_database, request.database)]
    return [*looks, partial(look_at_bundle, request.model), look_at_golden_image]


def _look(look: Look) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - what breaks, however it does, is what a doctor looks for
        name = getattr(look, "func", look).__name__.removeprefix("look_at_").replace("_", " ")
        reason = (str(error).splitlines() or [""])[0]
        yield judge(
            "software",
            name,
            f"{type(error).__name__}: {reason}",
            fail="Install spinescore and its packages again.",
        )
