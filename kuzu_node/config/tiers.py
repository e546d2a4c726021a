"""What a tier sets; an explicit setting beats it."""

from __future__ import annotations

import attrs

from kuzu_node.config.values import Environment, Tier


@attrs.frozen(kw_only=True)
class TierDefaults:
    """`databases` and `memory_mb` are None where only the node bounds them."""

    databases: int | None
    memory_mb: int | None
    chunk_size: int
    query_timeout: float
    query_length: int
    slots: int


TIERS: dict[Tier, TierDefaults] = {
    "standard": TierDefaults(
        databases=10, memory_mb=2048, chunk_size=1000, query_timeout=30, query_length=10_000, slots=3
    ),
    "enterprise": TierDefaults(
        databases=1, memory_mb=14 * 1024, chunk_size=5000, query_timeout=120, query_length=50_000, slots=8
    ),
    "premium": TierDefaults(
        databases=1, memory_mb=28 * 1024, chunk_size=10_000, query_timeout=300, query_length=100_000, slots=8
    ),
    "shared": TierDefaults(
        databases=None, memory_mb=None, chunk_size=10_000, query_timeout=300, query_length=100_000, slots=8
    ),
}


def tier_defaults(tier: Tier, environment: Environment) -> TierDefaults:
    """Staging machines are small: there, standard means less memory and smaller chunks."""
    defaults = TIERS[tier]
    if environment == "staging" and tier == "standard":
        return attrs.evolve(defaults, memory_mb=700, chunk_size=750)
    return defaults
