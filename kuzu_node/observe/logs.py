"""Logs: an event name and key-values on one line, JSON or text, on standard output.

`configure` is called once, by the command line. Everybody else takes `structlog.get_logger()` and, around a request,
`bound_contextvars(request_id=.., database=..)`.
"""

from __future__ import annotations

import json
import logging
import os
import select
from typing import Any

import attrs
import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kuzu_node.config import LogConfig

STANDARD_OUTPUT = 1


@attrs.define(eq=False)
class LineWriter:
    """Writes lines to a descriptor and never waits for who reads them: a stuck reader would stop the whole node.

    Lines that find no room are counted, and the count is the next line that gets through. Up to PIPE_BUF bytes a line
    goes into a pipe at once; only a longer one, a trace, may wait once it has begun.
    """

    descriptor: int
    json: bool = True
    dropped: int = 0
    _poll: select.poll = attrs.field(factory=select.poll, init=False)

    def __attrs_post_init__(self) -> None:
        self._poll.register(self.descriptor, select.POLLOUT)

    def __call__(self, line: bytes) -> None:
        if not self._has_room():
            self.dropped += 1
            return
        if self.dropped:
            line = self._count_of_dropped() + b"\n" + line
            self.dropped = 0
        view = memoryview(line + b"\n")
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError:  # nobody reads any more: there is nobody to tell either
            self.dropped += 1

    def _has_room(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))

    def _count_of_dropped(self) -> bytes:
        if self.json:
            return msgspec.json.encode({"event": "log_lines_dropped", "level": "warning", "count": self.dropped})
        return f"log_lines_dropped count={self.dropped}".encode()


@attrs.define(eq=False)
class LineLogger:
    """What structlog hands a finished line to, whatever its level."""

    write: LineWriter

    def msg(self, line: bytes) -> None:
        self.write(line)

    debug = info = warning = warn = error = exception = critical = fatal = msg


class LibraryHandler(logging.Handler):
    """Lines of the standard library's logging, from libraries, on the same output."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        logger.log(
            record.levelno, "library_message", logger=record.name, text=record.getMessage(), exc_info=record.exc_info
        )


def configure(config: LogConfig, *, descriptor: int = STANDARD_OUTPUT) -> LineWriter:
    """Send all logs of this process to `descriptor`, which stays open as long as anybody logs."""
    writer = LineWriter(descriptor, json=config.format == "json")
    level = logging.getLevelNamesMapping()[config.level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers(config, colors=os.isatty(writer.descriptor)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: LineLogger(writer),
        # A cached logger keeps the output that it was first used with, before this call or in another test.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [LibraryHandler()]
    # Libraries chatter below that level, some of them with the texts they were given.
    root.setLevel(max(level, logging.WARNING))
    return writer


def renderers(config: LogConfig, *, colors: bool) -> list[Processor]:
    """From an event to bytes."""
    if config.format == "json":
        return [structlog.processors.format_exc_info, json_line]
    # The renderer's own traces show local variables: keys and query texts among them.
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [console, text_line]


def json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    """One JSON object; what JSON cannot say is written as its repr, since a log call must not fail."""
    try:
        return msgspec.json.encode(event, enc_hook=repr)
    except (TypeError, ValueError):  # a lone surrogate or an odd key: the slower encoder escapes and skips them
        return json.dumps(event, default=repr, skipkeys=True).encode()


def text_line(_logger: WrappedLogger, _method: str, event: Any) -> bytes:
    text: str = event
    return text.encode("utf-8", "backslashreplace")
