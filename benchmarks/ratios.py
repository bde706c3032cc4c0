"""Interleaved measurement: each round times every candidate once, so that a noisy neighbour hits
all of them; the result is the median of the rounds' ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

Timer = Callable[[], float]  # runs its loop once and returns ns per operation


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    ns: float  # median, per operation
    ns_low: float  # its range, and the ratio's, are those of the rounds;
    ns_high: float  # from 20 rounds on without the outermost twentieths
    base_ns: float
    ratio: float  # median of the rounds' ratios
    low: float
    high: float
    limit: float | None
    extra: str = ""

    @property
    def holds(self) -> bool | None:
        return None if self.limit is None else self.ratio <= self.limit

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ns": round(self.ns, 2),
            "ns_range": [round(self.ns_low, 2), round(self.ns_high, 2)],
            "base_ns": round(self.base_ns, 2),
            "ratio": round(self.ratio, 3),
            "range": [round(self.low, 3), round(self.high, 3)],
            "limit": self.limit,
            "holds": self.holds,
            "extra": self.extra,
        }


def summary(
    name: str, pairs: list[tuple[float, float]], limit: float | None, extra: str = ""
) -> Result:
    """pairs: (base, own) ns of every round."""
    ratios = sorted(own / bare for bare, own in pairs)
    times = sorted(own for _bare, own in pairs)
    outer = len(ratios) // 20  # of many short rounds, some are always disturbed
    return Result(
        name,
        statistics.median(times),
        times[outer],
        times[-1 - outer],
        statistics.median(bare for bare, _own in pairs),
        statistics.median(ratios),
        ratios[outer],
        ratios[-1 - outer],
        limit,
        extra,
    )


def compare(
    base: Timer, candidates: dict[str, tuple[Timer, float | None]], rounds: int
) -> list[Result]:
    """candidates: name -> (timer, the ratio to base that it must not exceed, or None)."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, (timer, _limit) in candidates.items():
            times[name].append((base(), timer()))
    return [summary(name, times[name], limit) for name, (_timer, limit) in candidates.items()]
