"""Exception groups of nurseries, unwrapped in this one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


@contextmanager
def unwrapped() -> Iterator[None]:
    """Around a nursery: the error that made it end comes out bare, errors of different kinds stay a group.

    Cancellation beside an error is not an error of its own.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        real = [error for error in errors if not isinstance(error, trio.Cancelled)]
        if real and all(type(error) is type(real[0]) for error in real):
            raise real[0] from real[0].__cause__
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
