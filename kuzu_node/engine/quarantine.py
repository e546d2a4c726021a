"""Which statements may not run for a while, because they have killed their worker. Pure; `now` is monotonic seconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

DEATHS = 2
# The fingerprint of what no statement is to blame for: the ends of transactions, and what the node itself asks.
UNSUSPECTED = "-"
# That of reads that are run by one order: each is found out when it is run alone.
TOGETHER = "+"
_REMEMBERED = 1024


class Quarantine:
    """Counts deaths by fingerprint; a second within `seconds` of the first shuts the statement out for as long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deaths: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._innocent: OrderedDict[str, None] = OrderedDict()

    def died(self, executing: Collection[str], now: float) -> None:
        """The worker died while these ran. Beside others, a statement that has succeeded before is not suspected."""
        suspects = set(executing) - {UNSUSPECTED}
        if len(suspects) > 1:
            suspects = {one for one in suspects if one not in self._innocent} or suspects
        for fingerprint in suspects - {TOGETHER}:
            deaths, last = self._deaths.pop(fingerprint, (0, now))
            self._deaths[fingerprint] = (deaths + 1 if now - last <= self._seconds else 1, now)
        while len(self._deaths) > _REMEMBERED:
            self._deaths.popitem(last=False)

    def succeeded(self, fingerprint: str) -> None:
        if fingerprint in self._innocent or fingerprint == TOGETHER:
            return
        self._innocent[fingerprint] = None
        if len(self._innocent) > _REMEMBERED:
            self._innocent.popitem(last=False)

    def has_died(self, fingerprint: str) -> bool:
        """Whether a worker has died of it lately, be it once."""
        return fingerprint in self._deaths

    def refused_for(self, fingerprint: str, now: float) -> float:
        """Seconds for which the statement is still refused; 0 when it may run."""
        if fingerprint not in self._deaths:
            return 0.0
        deaths, last = self._deaths[fingerprint]
        left = last + self._seconds - now
        if left <= 0:
            del self._deaths[fingerprint]
            return 0.0
        return left if deaths >= DEATHS else 0.0
