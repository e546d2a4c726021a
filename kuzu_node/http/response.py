"""What handlers return and how it goes out: one start and one body, or beside a body still on its way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

import attrs
import msgspec
import trio

Header = tuple[bytes, bytes]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_TYPE: Final = b"application/json"
LINGER_SECONDS: Final = 2.0


@attrs.frozen
class Response:
    """A whole answer. Its length and the id of the request are added when it is sent."""

    status: int
    body: bytes
    content_type: bytes = JSON_TYPE
    headers: tuple[Header, ...] = ()


@attrs.frozen
class Streamed:
    """Says that the handler has sent the answer itself. `broken`: it stopped in the middle."""

    status: int
    broken: bool = False


CLIENT_GONE: Final = Streamed(499, broken=True)


def json_response(value: object, status: int = 200, headers: tuple[Header, ...] = ()) -> Response:
    """`value` (attrs objects, mappings, sequences) as JSON; fields that are UNSET are left out."""
    return Response(status, msgspec.json.encode(value), JSON_TYPE, headers)


def start_message(response: Response, extra: Sequence[Header]) -> Message:
    """The `http.response.start` of a whole answer."""
    headers: list[Header] = [
        (b"content-type", response.content_type),
        (b"content-length", b"%d" % len(response.body)),
        *response.headers,
        *extra,
    ]
    return {"type": "http.response.start", "status": response.status, "headers": headers}


async def send_response(send: Send, response: Response, extra: Sequence[Header]) -> None:
    """Send a whole answer to a request whose body has been read."""
    await send(start_message(response, extra))
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


async def send_early(receive: Receive, send: Send, response: Response, extra: Sequence[Header]) -> None:
    """Send an answer while the client is still uploading, and let it arrive.

    The rest of the body is read and dropped for a moment, because a client that is reset while it writes does not
    read the answer. The dropping goes on beside the last `send`: the server hands over the end of the request
    through the same bounded queue as its body, and would wait for a reader of that queue for ever.
    """
    await send(start_message(response, extra))
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with trio.move_on_after(LINGER_SECONDS):
        await discard_body(receive)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_discard_until_disconnect, receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        nursery.cancel_scope.cancel()


async def discard_body(receive: Receive) -> None:
    """Read to the end of the request's body, or until the client is gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


async def _discard_until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
