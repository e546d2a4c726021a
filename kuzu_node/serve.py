"""Runs a node behind its HTTP server until a signal ends it."""

from __future__ import annotations

import gc
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import cast

import structlog
import trio
from hypercorn.typing import ASGIFramework

from kuzu_node.config import NodeConfig, warnings
from kuzu_node.core.groups import unwrapped
from kuzu_node.engine.process import WorkerDied
from kuzu_node.http.app import App, open_app
from kuzu_node.http.server import Address, ServerOptions, run_server
from kuzu_node.node import BasePathInUse, Node, open_node

NOT_STARTED = 1

log = structlog.get_logger()


class StartFailed(Exception):
    """The node cannot start here: a sentence for whoever starts it."""


def run(config: NodeConfig) -> int:
    """Serves until SIGTERM or SIGINT; 0 after an orderly end, NOT_STARTED when something stands in the way."""
    for sentence in warnings(config):
        log.warning("configuration", note=sentence)
    # Each connection and lane is a descriptor: 1024, the usual soft limit, is soon reached.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # What the imports have left lives as long as the process; walked by each full collection of garbage, it would hold
    # up the loop for 40 ms on an idle machine and for 160 on a busy one.
    gc.collect()
    gc.freeze()
    try:
        with unwrapped():
            trio.run(serve, config)
    except StartFailed as error:
        log.error("not_started", reason=str(error))
        return NOT_STARTED
    return 0


async def serve(config: NodeConfig, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED) -> None:
    """Started with the addresses that are listened on. The server drains before the databases close.

    Signals are taken from the first moment to the last: the default action would cut the closing of databases short.
    """
    asked, hurry = trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_signals, asked, hurry, name="signals")
        async with _started(config) as node, open_app(node) as app:
            with hurry:
                await _listen(node, app, asked, task_status)
        nursery.cancel_scope.cancel()
    log.info("stopped")


async def _listen(node: Node, app: App, asked: trio.Event, task_status: trio.TaskStatus[list[Address]]) -> None:
    http, stop = node.config.http, trio.Event()
    async with trio.open_nursery() as nursery:
        listen = partial(run_server, cast(ASGIFramework, app), options(node.config), shutdown=stop.wait)
        try:
            addresses = await nursery.start(listen, name="server")
        except OSError as error:
            raise StartFailed(f"cannot listen on {http.host}, port {http.port}: {error.strerror}") from error
        log.info("listening", addresses=[f"{host}:{port}" for host, port in addresses])
        task_status.started(addresses)
        await asked.wait()
        node.drain()
        log.info("stopping", drain_seconds=http.drain_seconds)
        stop.set()


@asynccontextmanager
async def _started(config: NodeConfig) -> AsyncIterator[Node]:
    """`open_node`, with a sentence for each way in which that fails."""
    base_path = config.identity.base_path
    async with AsyncExitStack() as stack:
        try:
            with unwrapped():
                node = await stack.enter_async_context(open_node(config))
        except BasePathInUse as error:
            raise StartFailed(str(error)) from error
        except WorkerDied as error:
            raise StartFailed(f"no worker process starts: {error}; `kuzu-node check` says more") from error
        except trio.TooSlowError as error:
            raise StartFailed("the first worker process did not get ready in time") from error
        except OSError as error:
            raise StartFailed(f"the base folder {base_path} cannot be used: {error.strerror}") from error
        yield node


async def run_signals(asked: trio.Event, hurry: trio.CancelScope) -> None:
    """The first SIGTERM or SIGINT begins the end; the next one cuts short what the setting says to wait for."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            if asked.is_set():
                log.warning("hurrying")
                hurry.cancel()
            asked.set()


def options(config: NodeConfig) -> ServerOptions:
    http = config.http
    return ServerOptions(
        host=http.host,
        port=http.port,
        drain_seconds=http.drain_seconds,
        stall_timeout=http.stall_timeout,
        max_websocket_message=http.max_request_size,
        max_header_size=http.max_header_size,
        max_path_length=http.max_path_length,
    )
