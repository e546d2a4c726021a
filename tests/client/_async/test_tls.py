"""Encrypted connections, and the settings that decide whom they trust."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from kuzu_client._async.caller import AsyncCaller
from kuzu_client.errors import KuzuTransientError
from tests.client.calls import QUICK, READ, WRITE
from tests.client.scripted import ScriptedServer, scripted

pytestmark = pytest.mark.anyio

ONCE = {**QUICK, "max_retries": 0}


@attrs.frozen
class Authority:
    """PEM files of an authority and of a client that it knows."""

    ca: trustme.CA
    bundle: str
    client: str

    @classmethod
    def at(cls, folder: Path) -> Authority:
        ca = trustme.CA()
        bundle, client = folder / "ca.pem", folder / "client.pem"
        ca.cert_pem.write_to_path(bundle)
        ca.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(client)
        return cls(ca, str(bundle), str(client))

    def server(self, *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("localhost").configure_cert(context)
        if wants_client:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
            # With 1.3 a client without a certificate is only told behind the handshake.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.at(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def node(authority: Authority) -> Iterator[ScriptedServer]:
    with scripted(tls=authority.server()) as server:
        yield server


async def test_a_node_of_a_known_authority_is_trusted(authority: Authority, node: ScriptedServer) -> None:
    async with AsyncCaller(node.url, **QUICK, ca_bundle=authority.bundle) as caller:
        assert await caller.call(READ) == {"ok": True}
        assert await caller.call(READ) == {"ok": True}
    assert node.connections == 1


async def test_a_stranger_gets_neither_request_nor_key(node: ScriptedServer) -> None:
    async with AsyncCaller(node.url, "secret", **ONCE) as caller:
        with pytest.raises(KuzuTransientError, match=r"(?i)certificate") as caught:
            await caller.call(WRITE)
    assert caught.value.committed is False
    assert node.received == []


async def test_a_node_of_another_name_is_a_stranger(authority: Authority, node: ScriptedServer) -> None:
    url = node.url.replace("localhost", "127.0.0.1")
    async with AsyncCaller(url, **ONCE, ca_bundle=authority.bundle) as caller:
        with pytest.raises(KuzuTransientError):
            await caller.call(READ)
    assert node.received == []


async def test_who_does_not_verify_talks_to_anybody(node: ScriptedServer) -> None:
    async with AsyncCaller(node.url, **QUICK, verify_ssl=False) as caller:
        assert await caller.call(READ) == {"ok": True}


async def test_a_client_shows_its_certificate(authority: Authority) -> None:
    with scripted(tls=authority.server(wants_client=True)) as server:
        async with AsyncCaller(server.url, **ONCE, ca_bundle=authority.bundle) as caller:
            with pytest.raises(KuzuTransientError):
                await caller.call(READ)
        known = AsyncCaller(server.url, **QUICK, ca_bundle=authority.bundle, client_cert=authority.client)
        async with known as caller:
            assert await caller.call(READ) == {"ok": True}


@pytest.mark.parametrize("setting", ["ca_bundle", "client_cert"])
async def test_a_file_that_is_missing_is_told_at_once(setting: str) -> None:
    given: dict[str, Any] = {setting: "/nowhere.pem"}
    with pytest.raises(ValueError, match=f"{setting}='/nowhere.pem'"):
        AsyncCaller("https://node", **given)


async def test_http2_without_its_package_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install h2"):
        AsyncCaller("https://node", http2=True)


async def test_with_http2_a_node_that_only_knows_the_older_one_is_understood(
    authority: Authority, node: ScriptedServer
) -> None:
    async with AsyncCaller(node.url, **QUICK, ca_bundle=authority.bundle, http2=True) as caller:
        assert await caller.call(READ) == {"ok": True}
        assert await caller.call(WRITE) == {"ok": True}
    assert node.connections == 1
