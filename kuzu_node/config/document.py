"""docs/configuration.md, made from the tables that the node reads its settings by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kuzu_node.config.later import IGNORED, LATER
from kuzu_node.config.setting import Setting
from kuzu_node.config.settings import SECTIONS
from kuzu_node.config.tiers import TIERS, TierDefaults, tier_defaults

DOCUMENT = Path("docs/configuration.md")

INTRODUCTION = """\
# Settings

<!-- Made from kuzu_node/config by `python -m kuzu_node.config --write-docs`; a test compares the two. -->

Nothing has to be set to run on one machine. Each setting is an environment variable, and, unless the table says
otherwise, an option of `kuzu-node serve` and `kuzu-node check`, which beats the variable. An empty variable counts as
not set. A wrong value stops the start with a message that names the setting; a `KUZU_` variable that is no setting is
said at start.

The tier sets defaults, an explicit setting beats it. What the machine cannot keep is said at start: the memory of a
database is a ceiling, the sum over all databases may be more than the node has, that of the open ones may not.

Sizes are bytes, or a number with a unit such as `64 KiB` or `10 MB`. Times are seconds unless the name says
otherwise.
"""


def document() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, settings in SECTIONS.items():
        rows = [(names(setting), options(setting), default(setting), setting.meaning) for setting in settings]
        parts.append(f"## {title}\n\n" + table(("variable", "option", "default", "meaning"), rows))
    parts.append("## Tiers\n\n" + table(TIER_HEADS, [tier_row(name, tier) for name, tier in tiers().items()]))
    parts.append(
        "## Not yet in effect\n\n"
        "Known names of parts to come. One that is set is said at start; one marked *stops the start* does that,\n"
        "because to go on without it would leave open what it was meant to close (`off` is accepted).\n\n"
        + table(
            ("variable", "belongs to", "when set"),
            [(f"`{x.name}`", x.meaning, "stops the start" if x.refused else "said at start") for x in LATER],
        )
    )
    ignored = " and ".join(f"`{name}`" for name in IGNORED)
    parts.append(
        f"## Ignored\n\n{ignored} are accepted for the sake of older set-ups, ignored, and said once at start.\n"
    )
    return "\n".join(parts)


TIER_HEADS = ("tier", "databases", "memory for each", "rows a chunk", "query timeout", "query length", "slots")


def tiers() -> dict[str, TierDefaults]:
    named: dict[str, TierDefaults] = dict(TIERS.items())
    return named | {"standard, ENVIRONMENT=staging": tier_defaults("standard", "staging")}


def tier_row(name: str, tier: TierDefaults) -> tuple[str, ...]:
    databases = "no limit" if tier.databases is None else str(tier.databases)
    memory = "what the node has" if tier.memory_mb is None else f"{tier.memory_mb} MB"
    timeout = f"{tier.query_timeout:g} s"
    return (name, databases, memory, str(tier.chunk_size), timeout, str(tier.query_length), str(tier.slots))


def names(setting: Setting[Any]) -> str:
    others = ", ".join(f"`{name}`" for name in setting.names[1:])
    return f"`{setting.name}`" + (f" ({others})" if others else "")


def options(setting: Setting[Any]) -> str:
    return f"`{setting.options[0]}`" if setting.options else "none"


def default(setting: Setting[Any]) -> str:
    return setting.shown or setting.default or ""


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
