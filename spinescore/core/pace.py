"""How fast a stage goes, and how long it will still take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """A stage's progress; times are seconds of one clock.

    Parameters
    ----------
    began : float
        When the stage began.
    done, total : int
        In files or images; 0 where a stage counts nothing.
    rate_per_s, left_s : float or None
        As of the last word of progress. The rate leaves out what came before the first: models and workers
        that start.

    Examples
    --------
    >>> pace = Pace(0.0)
    >>> pace.advance(100, 700, 60.0)
    >>> pace.advance(300, 700, 90.0)
    >>> pace.rate_per_s, pace.left_s
    (10.0, 30.0)
    """

    began: float
    done: int = 0
    total: int = 0
    rate_per_s: float | None = None
    left_s: float | None = None
    _first: int | None = None

    def advance(self, n: int, total: int, now: float) -> None:
        """Count ``n`` more of ``total``."""
        self.done, self.total = self.done + n, total
        elapsed = now - self.began
        if elapsed > 0 and self.done > (self._first or 0):
            self.rate_per_s = (self.done - (self._first or 0)) / elapsed
            self.left_s = max(0, total - self.done) / self.rate_per_s
        if self._first is None:
            self.began, self._first = now, self.done


def say_progress(done: int, total: int, rate_per_s: float | None, left_s: float | None, n_failed: int) -> str:
    """Return how far a stage is as a person says it; nothing where it counts nothing.

    >>> say_progress(300, 1700, 10.0, 140.0, 2)
    '300 of 1,700, 10.0/s, 2 min 20 s left, 2 failed'
    """
    parts = [f"{done:,} of {total:,}"] if total else []
    if rate_per_s:
        parts.append(f"{rate_per_s:,.1f}/s")
    if left_s is not None:
        parts.append(f"{duration(max(0.0, left_s))} left")
    if n_failed:
        parts.append(f"{n_failed:,} failed")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> duration(45), duration(125), duration(7384)
    ('45 s', '2 min 05 s', '2 h 03 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )
