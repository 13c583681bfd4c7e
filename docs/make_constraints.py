"""Write constraints.txt, the hashed lock for deployment: ``make lock`` (needs uv and a registry).

What is pinned is what is installed here, which is what the tests ran with. torch is the build for the
processor, which is no registry's default: its hash is that of the wheel in TORCH_WHEEL.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from dependencies import installed_closure

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "constraints.txt"
HEAD = """\
# What spinescore {version} was tested with, on Python {python} and Linux:
# `pip install --require-hashes -r constraints.txt`.
# Written by `make lock`; docs/operations.md says how to install from it, also without a network.
# torch is the build for the processor ({torch}): it drags in nothing, and its wheel comes from PyTorch's own
# index or your wheelhouse. With a GPU, install the CUDA build and its nvidia packages instead, which are not
# locked here and whose licences are NVIDIA's.
"""


def write_constraints(torch_wheel: Path) -> None:
    """Pin every package by version and by the hashes of its files."""
    packages = installed_closure()
    torch = next(package for package in packages if package.name == "torch")
    pinned = [f"{package.name}=={package.version}" for package in packages if package.name != "torch"]
    locked = _lock(pinned)
    digest = hashlib.sha256(torch_wheel.read_bytes()).hexdigest()
    entry = f"torch=={torch.version} \\\n    --hash=sha256:{digest}\n"
    entries = sorted([*re.split(r"^(?=[a-z0-9])", locked, flags=re.MULTILINE)[1:], entry])
    head = HEAD.format(
        version=_version(), python=".".join(map(str, sys.version_info[:2])), torch=torch.version
    )
    TARGET.write_text(head + "".join(entries), encoding="utf-8")


def _lock(pinned: list[str]) -> str:
    """Return pins with the hashes of every file a registry has of them."""
    options = [
        "--no-deps",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--quiet",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".in") as wanted:
        wanted.write("\n".join(pinned))
        wanted.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", *options, wanted.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def _version() -> str:
    from importlib.metadata import version

    return version("spinescore")


if __name__ == "__main__":
    write_constraints(Path(os.environ["TORCH_WHEEL"]))
