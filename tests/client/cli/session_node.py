"""A node that has sessions, as far as the shell needs one: over real sockets, for texts that say what happens.

`STALL` runs until it is cancelled, `FAIL` fails, `LOSE` breaks the socket; everything else is answered with itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Ping, TextMessage

from tests.client.scripted import Received, ScriptedServer, Talk, answer, scripted

_SECRET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DOCUMENTS: dict[str, Any] = {
    "/databases/g": {"graph_id": "g"},
    "/databases/g/schema": {
        "tables": [
            {
                "name": "P",
                "type": "NODE",
                "properties": [{"name": "id", "type": "INT64", "primary_key": True}],
                "connections": [],
            }
        ]
    },
}


@attrs.define(eq=False)
class SessionNode:
    """`heard` are the messages but pings, of all sockets; `stalled` is set while a text stalls."""

    features: list[str]
    heard: list[dict[str, Any]] = attrs.field(factory=list)
    sockets: int = 0
    stalled: threading.Event = attrs.field(factory=threading.Event)
    ended: threading.Event = attrs.field(factory=threading.Event)

    def serve(self, talk: Talk) -> None:
        request = talk.read_request()
        if request.target == "/databases/g/session":
            self.sockets += 1
            Conversing(self, talk).run(request)
            return
        if request.target == "/databases/g/query":
            self.answer(talk, request.json()["cypher"])
            return
        document = {"features": self.features} if request.target == "/info" else DOCUMENTS[request.target]
        talk.send(answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"}))

    def answer(self, talk: Talk, text: str) -> None:
        """Without a session."""
        if text == "STALL":
            self.stalled.set()
            talk.hold()
            talk.sock.close()
            return
        chunk = {"chunk_index": 0, "columns": ["text"], "data": [{"text": text}], "is_last_chunk": True}
        talk.send(answer(200, json.dumps(chunk).encode(), {"Content-Type": "application/x-ndjson"}))

    @property
    def acts(self) -> list[str]:
        return [str(message.get("cypher", message["type"])) for message in self.heard]


@attrs.define(eq=False)
class Conversing:
    """One socket."""

    node: SessionNode
    talk: Talk
    frames: Connection = attrs.field(factory=lambda: Connection(ConnectionType.SERVER))
    in_transaction: bool = False
    aborted: bool = False
    stalling: object = None

    def run(self, request: Received) -> None:
        key = request.headers["sec-websocket-key"] + _SECRET
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.talk.send(
            f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accepted}\r\nSec-WebSocket-Protocol: kuzu.v1\r\n\r\n".encode()
        )
        try:
            while self.take():
                data = self.talk.sock.recv(65536)
                if not data:
                    return
                self.frames.receive_data(data)
        finally:
            self.node.ended.set()

    def take(self) -> bool:
        """Whether the socket goes on."""
        text = ""
        for event in self.frames.events():
            if isinstance(event, Ping):
                self.talk.send(self.frames.send(event.response()))
            elif isinstance(event, CloseConnection):
                self.talk.send(self.frames.send(event.response()))
                return False
            elif isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    if not self.handle(json.loads(text)):
                        self.talk.reset()
                        return False
                    text = ""
        return True

    def handle(self, message: dict[str, Any]) -> bool:
        kind, number = message["type"], message["id"]
        if kind == "ping":
            self.say("pong", number)
            return True
        self.node.heard.append(message)
        text = message.get("cypher")
        if kind == "cancel":
            self.say("done", number, execution_time_ms=0.1)
            if message["target"] == self.stalling:
                self.fail(self.stalling, "cancelled", 499)
                self.stalling = None
        elif text == "LOSE":
            return False
        elif text == "STALL":
            self.stalling = number
            self.node.stalled.set()
        elif text == "FAIL":
            self.fail(number, "binder", 400)
        elif self.aborted and kind != "rollback":
            self.fail(number, "transaction_aborted", 409)
        elif kind == "query":
            rows = [{"text": text}]
            self.say("result", number, columns=["text"], rows=rows, row_count=1, execution_time_ms=1)
        else:
            self.in_transaction, self.aborted = kind == "begin", False
            self.say("done", number, execution_time_ms=0.1)
        return True

    def fail(self, number: object, code: str, status: int) -> None:
        self.aborted = self.in_transaction
        self.say("error", number, code=code, status=status, title=code, detail=f"said {code}", committed=False)

    def say(self, kind: str, number: object, **fields: Any) -> None:
        text = json.dumps({"type": kind, "id": number, **fields})
        self.talk.send(self.frames.send(TextMessage(data=text)))


@contextmanager
def session_node(*, features: Sequence[str] = ("sessions",)) -> Iterator[tuple[ScriptedServer, SessionNode]]:
    node = SessionNode(list(features))
    with scripted(otherwise=node.serve) as server:
        yield server, node
