"""Hypercorn's configuration object with what the repairs need beside it, and its log as structured events."""

from __future__ import annotations

import time
from typing import Any
from wsgiref.handlers import format_date_time

import structlog
from hypercorn.config import Config


class ServerLog:
    """Stands in for hypercorn's logger. It writes no access log: that costs a quarter of a small request."""

    def __init__(self, config: Config) -> None:
        pass

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        pass

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        structlog.get_logger().error("app_failed", exc_info=True)


class ServerConfig(Config):
    """`stall_timeout` is in seconds, `head_limit` in bytes: request line and headers beyond it never reach the app."""

    logger_class = ServerLog  # type: ignore[assignment]
    include_server_header = False
    stall_timeout: float = 10.0
    head_limit: int = 65536

    def __init__(self) -> None:
        super().__init__()
        self._date_second = -1
        self._date_headers: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The date, formatted once a second. The list is shared: nobody may change it."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date_headers = [(b"date", format_date_time(second).encode("ascii"))]
        return self._date_headers
