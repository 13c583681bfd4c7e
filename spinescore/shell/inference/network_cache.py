"""Converted networks on disk: made once, known by their hashes, replaced whole, few at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spinescore.shell.inference.cache_place import cache_folder

FOLDER = "networks"
MODEL, WEIGHTS, HASHES = "network.xml", "network.bin", "sha256.json"
MOST_KEPT = 4  # of the largest network, a gigabyte
STALE_S = 86_400.0  # what an interrupted conversion left
FORMAT = 1  # raised when the conversion changes
READ_BYTES = 1 << 22


def network_folder(model_id: str, converter: str) -> Path:
    """Return where the form is kept that a converter's version makes of a model."""
    return cache_folder() / FOLDER / f"{model_id}-{FORMAT}-{converter}"


def find_network(folder: Path) -> Path | None:
    """Return the model file of a converted network that is whole, or None."""
    try:
        hashes = json.loads((folder / HASHES).read_bytes())
        whole = all(hashes[name] == _hash(folder / name) for name in (MODEL, WEIGHTS))
        os.utime(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder / MODEL if whole else None


def store_network(folder: Path, save: Callable[[Path], None]) -> None:
    """Keep a converted network, whole or not at all; a cache that cannot be written is done without.

    Parameters
    ----------
    folder : Path
        From :func:`network_folder`; whatever is there is replaced.
    save : callable
        Writes the model file, and its weights beside it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            save(fresh / MODEL)
            hashes = {name: _hash(fresh / name) for name in (MODEL, WEIGHTS)}
            (fresh / HASHES).write_text(json.dumps(hashes), encoding="utf-8")
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            fresh.rename(folder)
        _tidy(folder)
    except OSError:
        return


@contextlib.contextmanager
def one_at_a_time(folder: Path, announce: Callable[[str], None]) -> Iterator[None]:
    """Hold a network's lock, so that processes that start together convert it once."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # no such place, or a file system without locks: convert twice
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = held.enter_context((folder.parent / f".{folder.name}.lock").open("a"))
            _wait_for(lock, announce)
        yield


def _wait_for(lock: Any, announce: Callable[[str], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        announce("another process is converting this network: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _tidy(newest: Path) -> None:
    """Remove other forms of the same model, all but the networks used last, and what was left half made."""
    model_id = newest.name.split("-")[0]
    for old in cache_folder().glob("????????????????-1.*"):  # where they lay before there were hashes
        if old.suffix in {".xml", ".bin"}:
            old.unlink(missing_ok=True)
    kept = [path for path in newest.parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    kept.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    same_model = [path for path in kept if path.name.startswith(f"{model_id}-") and path != newest]
    others = [path for path in kept if path != newest and path not in same_model]
    half_made = [
        path for path in newest.parent.glob(".making-*") if time.time() - path.stat().st_mtime > STALE_S
    ]
    for path in (*same_model, *others[MOST_KEPT - 1 :], *half_made):
        shutil.rmtree(path, ignore_errors=True)


def _hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            found.update(block)
    return found.hexdigest()
