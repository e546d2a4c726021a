"""What a worker may still do: files by Landlock, system calls by seccomp, memory by limits.

The worker's start calls `AddressSpace()`, `forbid_core_dumps`, `restrict_to_installation`, then come the imports and
one table through each encoder; on assignment `restrict_to_directory`, `forbid_system_calls`, `AddressSpace.limit`, and
only then the engine opens the database.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from kuzu_node.worker.sandbox.kernel import SandboxUnavailable
from kuzu_node.worker.sandbox.landlock import landlock_abi, restrict_to_directory, restrict_to_installation
from kuzu_node.worker.sandbox.limits import AddressSpace, forbid_core_dumps
from kuzu_node.worker.sandbox.seccomp import forbid_system_calls, seccomp_available

__all__ = [
    "AddressSpace",
    "SandboxUnavailable",
    "Support",
    "forbid_core_dumps",
    "forbid_system_calls",
    "probe",
    "restrict_to_directory",
    "restrict_to_installation",
]


@dataclass(frozen=True, slots=True)
class Support:
    """What this machine offers. `landlock_abi` is 0 without Landlock; versions from 1 on are enough, as the
    system-call filter closes what the early ones leave open (truncation, TCP, signals)."""

    machine: str
    landlock_abi: int
    seccomp: bool

    @property
    def complete(self) -> bool:
        return self.landlock_abi >= 1 and self.seccomp


def probe() -> Support:
    """Asks the kernel, changes nothing."""
    return Support(platform.machine(), landlock_abi(), seccomp_available())
