"""What a processor can do, by the flags Linux lists, and what that means for scoring."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from spinescore.core.diagnosis.finding import Finding, judge

FAST = {"avx2", "asimd"}  # x86 and ARM
USABLE = {"sse4_2"} | FAST
BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor: its name, its flags, and the cores this process may use."""

    name: str
    flags: Set[str]
    n_cores: int


def parse_cpuinfo(text: str, n_cores: int) -> Processor:
    """Read ``/proc/cpuinfo`` of x86 or ARM.

    >>> parse_cpuinfo("model name : A\\nflags : fpu avx2", 2).flags == {"fpu", "avx2"}
    True
    """
    pairs = [line.partition(":") for line in text.splitlines()]
    values = {name.strip(): value.strip() for name, _, value in reversed(pairs)}
    flags = values.get("flags") or values.get("Features") or ""
    return Processor(values.get("model name", "unknown"), frozenset(flags.split()), n_cores)


def judge_processor(processor: Processor) -> Finding:
    """Tell whether a processor is fit to score."""
    flags = processor.flags
    has = "with" if flags & FAST else "without"
    bfloat16 = "with" if flags & BFLOAT16 else "without"
    found = f"{processor.name}, {processor.n_cores} cores for this process, {has} AVX2, {bfloat16} bfloat16"
    if not flags:
        return judge("machine", "processor", found, warn="Its features are not listed; time a run by hand.")
    return judge(
        "machine",
        "processor",
        found,
        fail="" if flags & USABLE else "OpenVINO needs SSE4.2 at least: use another machine.",
        warn="" if flags & FAST else "Scoring is several times slower without AVX2: is it masked by the VM?",
    )
