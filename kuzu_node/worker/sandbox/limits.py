"""Resource limits of a worker: address space as a backstop, and no core dumps of tenants' data."""

from __future__ import annotations

import os
import resource


class AddressSpace:
    """The process's own address space. Made before Landlock, which takes /proc; the open file stays readable."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def used(self) -> int:
        """Bytes that are mapped or reserved now."""
        pages = int(os.pread(self._statm, 256, 0).split()[0])
        return pages * resource.getpagesize()

    def limit(self, extra_bytes: int) -> None:
        """From now on the process may map `extra_bytes` more than it has. Never above a limit that stands already."""
        wanted = self.used() + extra_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def forbid_core_dumps() -> None:
    """A dump would hold a tenant's data, and writing one puts off the end-of-file by which the node learns of a crash.

    One byte, not none: the kernel ignores a limit of 0 where dumps go to a program, and takes 1 as "no dump" (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
