"""Sends calls to a node: deadlines, retries, the breaker, the keys of writes. Every method of the client ends here."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import attrs
import httpx

from kuzu_client._async.concurrency import guard, now, sleep
from kuzu_client._async.exchange import AsyncExchange, AttemptEnd, receive_stream, receive_whole
from kuzu_client._async.features import AsyncFeatures
from kuzu_client._async.streams import AsyncStream
from kuzu_client._async.transport import transport_to
from kuzu_client._core import failures, wire
from kuzu_client._core.breaker import Breaker
from kuzu_client._core.calls import Call, Replay
from kuzu_client._core.observers import Attempted, Observer, Observers, Waits
from kuzu_client._core.retry import Outcome, RetryPolicy, Send, Step, Waited, attempts
from kuzu_client.config import KuzuClientConfig, address
from kuzu_client.errors import KuzuTransientError, ServiceUnavailableError

T = TypeVar("T")
IDEMPOTENCY = "idempotency"
# A node that does not tell its features within this time, or this part of a write's own, gets writes without a key.
INFO_SECONDS, INFO_PART = 5.0, 0.25
INFO = Call(operation="features", method="GET", path="/info")


class AsyncCaller:
    """One node, its connections and its breaker. Closed, it opens anew with the next call."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        config: KuzuClientConfig | None = None,
        *,
        graph_id: str | None = None,
        observers: Sequence[Observer] = (),
        transport: httpx.AsyncBaseTransport | None = None,
        **config_overrides: Any,
    ) -> None:
        """Raises ValueError for settings that make no sense. Without a URL it is the calls that fail."""
        given = KuzuClientConfig.from_env(**config_overrides) if config is None else config
        self.config = attrs.evolve(given, **config_overrides)
        url, key = address(base_url, api_key)
        self._endpoint = wire.Endpoint.at(url, key, self.config.headers)
        self.base_url = self._endpoint.base_url
        self.graph_id = graph_id
        self._observers = Observers(self.base_url, tuple(observers))
        self._traces = transport is None
        self._transport = transport or transport_to(self._endpoint, self.config)
        self._breaker = Breaker(
            self.config.circuit_breaker_threshold if self.config.circuit_breakers_enabled else 0,
            self.config.circuit_breaker_timeout,
            self._observers.breaker_changed,
        )
        self._policy = RetryPolicy(
            retries=self.config.max_retries if self.config.retries_enabled else 0,
            delay=self.config.retry_delay,
            backoff=self.config.retry_backoff,
            random=random.random,
        )
        self._features = AsyncFeatures(self._ask_features)
        self._guard = guard()
        self._entered = 0

    async def call(self, call: Call) -> Any:
        """The JSON of the answer, decoded; None for an empty one."""
        return failures.decoded(call, await self._driven(call, receive_whole, self._policy))

    async def call_bytes(self, call: Call) -> bytes:
        return await self._driven(call, receive_whole, self._policy)

    @asynccontextmanager
    async def open_stream(self, call: Call) -> AsyncIterator[AsyncStream]:
        """Tried again until a good head is there, within the call's timeout; from then on that bounds each pause."""
        stream = await self._driven(call, receive_stream, self._policy)
        try:
            yield stream
        finally:
            await stream.aclose()

    async def _driven(
        self, call: Call, receive: Callable[[Call, httpx.Response], Awaitable[T]], policy: RetryPolicy
    ) -> T:
        if not self.base_url:
            raise ServiceUnavailableError("no endpoint: give base_url, or set KUZU_API_URL", committed=False)
        seconds = self.config.timeout if call.timeout is None else call.timeout
        began = now()
        key = await self._key(call, seconds)
        exchange = AsyncExchange(
            transport=self._transport,
            endpoint=self._endpoint,
            call=call,
            key=key,
            stall=seconds,
            traces=self._traces,
            receive=receive,
        )
        replay = Replay.SAFE if key is not None else Replay.NEVER if call.replay is Replay.KEYED else call.replay
        try:
            return await self.repeated(call.operation, exchange.attempt, replay, policy, deadline=began + seconds)
        except KuzuTransientError:
            if key is not None:
                self._features.forget()
            raise

    async def repeated(
        self,
        operation: str,
        attempt: Callable[[float], Awaitable[AttemptEnd[T]]],
        replay: Replay = Replay.SAFE,
        policy: RetryPolicy | None = None,
        *,
        deadline: float | None = None,
    ) -> T:
        """Whatever `attempt` does of the operation, which is told how many seconds are left for it."""
        until = now() + self.config.timeout if deadline is None else deadline
        steps = attempts(replay, policy or self._policy, self._breaker, now=now(), deadline=until)
        try:
            return await self._run(operation, steps, attempt)
        finally:
            with self._guard:
                steps.close()
            self._observers.tell_changes()

    async def _run(
        self,
        operation: str,
        steps: Generator[Step, Outcome, None],
        send: Callable[[float], Awaitable[AttemptEnd[T]]],
    ) -> T:
        ended: AttemptEnd[T] | None = None
        attempt = 0
        outcome: Outcome
        step = self._advance(steps, None)
        while step is not None:
            if isinstance(step, Send):
                attempt = step.attempt
                ended = await send(step.seconds)
                outcome = ended.outcome
                self._tell_attempt(operation, attempt, ended)
            else:
                self._observers.tell(
                    Waits(
                        operation=operation,
                        endpoint=self.base_url,
                        attempt=step.attempt,
                        seconds=step.seconds,
                        error=step.error,
                    )
                )
                await sleep(step.seconds)
                outcome = Waited(now())
            step = self._advance(steps, outcome)
        return cast(T, ended and ended.value)

    def _advance(self, steps: Generator[Step, Outcome, None], outcome: Outcome | None) -> Step | None:
        """The next step, None after the last. It moves the breaker, which all calls of the client share."""
        try:
            with self._guard:
                return next(steps) if outcome is None else steps.send(outcome)
        except StopIteration:
            return None
        finally:
            self._observers.tell_changes()

    def _tell_attempt(self, operation: str, attempt: int, ended: AttemptEnd[T]) -> None:
        self._observers.tell(
            Attempted(
                operation=operation,
                endpoint=self.base_url,
                attempt=attempt,
                seconds=ended.seconds,
                status=ended.status,
                error=ended.outcome.error,
                reused=ended.reused,
            )
        )

    async def _key(self, call: Call, seconds: float) -> str | None:
        """For a write that is safe to repeat with one."""
        if call.replay is not Replay.KEYED or not self.config.retries_enabled:
            return None
        known = await self._features.has(IDEMPOTENCY, min(INFO_SECONDS, seconds * INFO_PART))
        return wire.new_key() if known else None

    async def _ask_features(self, seconds: float) -> Collection[str]:
        once = attrs.evolve(self._policy, retries=0)
        body = await self._driven(attrs.evolve(INFO, timeout=seconds), receive_whole, once)
        return failures.features(failures.decoded(INFO, body))

    async def aclose(self) -> None:
        """Closes the connections. Calls under way fail; later ones open new connections."""
        await self._transport.aclose()

    @property
    def endpoint(self) -> wire.Endpoint:
        """Where it sends to, with the headers of every request."""
        return self._endpoint

    async def __aenter__(self) -> Self:
        with self._guard:
            self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            self._entered -= 1
            last = not self._entered
        if last:
            await self.aclose()
