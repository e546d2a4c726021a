"""Runs a node behind its HTTP server until a signal ends it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import structlog
import trio
from hypercorn.typing import ASGIFramework

from kuzu_node.config import NodeConfig, warnings
from kuzu_node.core.groups import unwrapped
from kuzu_node.http.app import open_app
from kuzu_node.http.server import ServerOptions, run_server
from kuzu_node.node import Node, open_node

log = structlog.get_logger()


def run(config: NodeConfig) -> int:
    """Serves until SIGTERM or SIGINT; 0 after an orderly end."""
    for sentence in warnings(config):
        log.warning("configuration", note=sentence)
    with unwrapped():
        trio.run(serve, config)
    return 0


async def serve(
    config: NodeConfig, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Started with the addresses that are listened on. The server drains before the databases close."""
    stop = trio.Event()
    async with open_node(config) as node, open_app(node) as app, trio.open_nursery() as nursery:
        nursery.start_soon(run_signals, node, stop, name="signals")
        listen = partial(run_server, cast(ASGIFramework, app), options(config), shutdown=stop.wait)
        addresses = await nursery.start(listen, name="server")
        log.info("listening", addresses=[f"{host}:{port}" for host, port in addresses])
        task_status.started(addresses)
        await stop.wait()
    log.info("stopped")


async def run_signals(node: Node, stop: trio.Event) -> None:
    """The first SIGTERM or SIGINT begins the end; the server waits for what runs, as long as the setting says."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        await _first(signals)
        node.drain()
        log.info("stopping", drain_seconds=node.config.http.drain_seconds)
        stop.set()


async def _first(signals: AsyncIterator[int]) -> int:
    async for number in signals:
        return number
    raise AssertionError("the receiver of signals does not end")


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
