"""One setting: its names, what it means, how its text is read. The tables of settings are made of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Setting(Generic[T]):
    """`names[0]` is the name, the others are older spellings of it.

    `default` is a text like a user's; where it depends on other settings it is None and `shown` says how.
    A `secret` is neither echoed nor taken from the command line, which every user of a machine can read.
    """

    names: tuple[str, ...]
    parse: Callable[[str], T]
    meaning: str
    default: str | None = None
    shown: str | None = None
    secret: bool = False

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def options(self) -> tuple[str, ...]:
        """Spellings on the command line."""
        return () if self.secret else tuple(option(name) for name in self.names)


def option(name: str) -> str:
    """`--query-timeout` for KUZU_QUERY_TIMEOUT; the database path is the one that is not spelled alike."""
    if name == "KUZU_DATABASE_PATH":
        return "--base-path"
    return "--" + name.removeprefix("KUZU_").lower().replace("_", "-")


@attrs.frozen(kw_only=True)
class Later:
    """A setting of the documented table without effect in this release.

    `refused` where to go on without it would open what it was meant to close.
    """

    name: str
    meaning: str
    refused: bool = False
