"""Shards that come in -> each waited-for outcome exactly once; what is committed is deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from spinescore.shell.pipeline import Outcome
from spinescore.shell.preparation import PendingImage
from spinescore.shell.shards import SUFFIX, is_lasting, is_of, outcome_of, read_shard


class ShardInbox:
    """A folder of shards, and the images whose outcomes are waited for.

    Parameters
    ----------
    folder : Path
        Where shards appear; nobody else takes from it.
    images : sequence of PendingImage
    """

    def __init__(self, folder: Path, images: Sequence[PendingImage]) -> None:
        self._folder = folder
        self._waiting = {image.sop_instance_uid: image for image in images}
        self._seen: set[str] = set()
        self._origin: dict[str, Path] = {}
        self._uncommitted: Counter[Path] = Counter()

    @property
    def waiting(self) -> Collection[PendingImage]:
        """The images without an outcome yet."""
        return self._waiting.values()

    def take_left_over(self) -> Iterator[Outcome]:
        """Yield what an earlier run left, but no failures: they may have been the node's; tried again."""
        yield from self._take(self._listed(), of_this_run=False)

    def take(self, named: Iterable[str] = ()) -> Iterator[Outcome]:
        """Yield the outcomes of shards that have come since, and of those named, listed or not."""
        yield from self._take(self._listed() | set(named), of_this_run=True)

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Delete the shards of which every outcome is in the database."""
        for outcome in outcomes:
            path = self._origin.pop(outcome.image.sop_instance_uid)
            self._uncommitted[path] -= 1
            if not self._uncommitted[path]:
                del self._uncommitted[path]
                path.unlink(missing_ok=True)

    def _listed(self) -> set[str]:
        return {path.name for path in self._folder.glob(f"*{SUFFIX}")}

    def _take(self, names: set[str], *, of_this_run: bool) -> Iterator[Outcome]:
        for name in sorted(names - self._seen):
            self._seen.add(name)
            path = self._folder / name
            outcomes = []
            for row in read_shard(path):
                image = self._waiting.get(row["sop_instance_uid"])
                if image is not None and is_of(row, image) and (of_this_run or is_lasting(row, image)):
                    del self._waiting[image.sop_instance_uid]
                    outcomes.append(outcome_of(row, image))
            if not outcomes:
                path.unlink(missing_ok=True)
                continue
            self._uncommitted[path] = len(outcomes)
            self._origin.update((outcome.image.sop_instance_uid, path) for outcome in outcomes)
            yield from outcomes
