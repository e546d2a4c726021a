"""The same server behind TLS: both protocols by ALPN, early answers, and clients that never speak TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import kuzu_node.http.server as node_server
from tests.http.server.serving import (
    DEFAULTS,
    App,
    Http2Client,
    Served,
    answer,
    hello,
    read_all,
    read_answer,
    serving,
)

trustme: Any = pytest.importorskip("trustme", reason="trustme makes the certificates")

pytestmark = pytest.mark.trio


@attrs.frozen
class Certificates:
    certfile: str
    keyfile: str
    authority: Any

    @asynccontextmanager
    async def connect(self, served: Served, *protocols: str) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        context.set_alpn_protocols(protocols)
        async with await served.connect() as plain:
            stream = trio.SSLStream(plain, context, server_hostname="127.0.0.1", https_compatible=True)
            await stream.do_handshake()
            yield stream

    def serving(self, app: App, **options: Any) -> Any:
        return serving(app, certfile=self.certfile, keyfile=self.keyfile, **options)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certfile, append=True)
    issued.private_key_pem.write_to_path(keyfile)
    return Certificates(str(certfile), str(keyfile), authority)


async def test_the_client_chooses_the_protocol(certificates: Certificates) -> None:
    async with certificates.serving(hello) as served:
        async with certificates.connect(served, "h2", "http/1.1") as stream:
            assert stream.selected_alpn_protocol() == "h2"
            client = Http2Client(stream)
            await client.open()
            await client.request(1)
            assert await client.status(1) == 200
        async with certificates.connect(served, "http/1.1") as stream:
            for path in (b"/one", b"/two"):
                await stream.send_all(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
                assert (await read_answer(stream)).body == path


async def test_an_answer_ahead_of_a_long_body_arrives(certificates: Certificates) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 413, b"too large")

    async with certificates.serving(app) as served, certificates.connect(served) as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        await stream.send_all(b"x" * 1_000_000)
        assert (await read_answer(stream, "POST")).body == b"too large"


async def test_a_client_that_does_not_speak_tls_ends_its_own_connection(certificates: Certificates) -> None:
    async with certificates.serving(hello) as served:
        async with await served.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(trio.BrokenResourceError):
                await read_all(stream)
        async with certificates.connect(served) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await read_answer(stream)).status == 200


async def test_a_client_that_never_begins_its_handshake_does_not_hold_up_a_shutdown(certificates: Certificates) -> None:
    async with certificates.serving(hello, drain_seconds=60) as served, await served.connect() as stream:
        served.stop.set()
        await served.stopped.wait()
        assert await read_all(stream) == b""


async def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "cert.pem"
    broken.write_text("no certificate")
    options = node_server.ServerOptions(**DEFAULTS, certfile=str(broken), keyfile=str(broken))
    run = partial(node_server.run_server, hello, options, shutdown=trio.sleep_forever)
    with trio.fail_after(5), pytest.raises(ssl.SSLError):
        await run()
