"""Google's address on this machine: a proxy for clients that have commentanalyzer.googleapis.com built in.

It answers CONNECT with a certificate of its own for that name, and hands on what comes to a local gateway. Old clients
for Node speak TLS to the proxy itself: they have a port of their own.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import trustme

HOST = "commentanalyzer.googleapis.com"


class GoogleProxy:
    """The environment in which clients find it and trust it; `old` for those that speak TLS to a proxy."""

    def __init__(self, port: int, old_port: int, authority: Path) -> None:
        self.environment = _environment(port, authority)
        self.old = _environment(old_port, authority)


@contextlib.asynccontextmanager
async def google_at(gateway_port: int, directory: Path) -> AsyncIterator[GoogleProxy]:
    """Runs the proxy before a gateway."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "127.0.0.1").configure_cert(context)
    file = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(file))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            if writer.get_extra_info("sslcontext") is None:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.split()[:2] == [b"CONNECT", f"{HOST}:443".encode()]
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await writer.drain()
                await writer.start_tls(context)
            await _hand_on(reader, writer, gateway_port)
        writer.close()

    servers = [
        await asyncio.start_server(serve, "127.0.0.1", 0),
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context),
    ]
    try:
        port, old_port = (server.sockets[0].getsockname()[1] for server in servers)
        yield GoogleProxy(port, old_port, file)
    finally:
        for server in servers:
            server.close()


def _environment(port: int, authority: Path) -> dict[str, str]:
    return {
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), f"http://127.0.0.1:{port}"),
        **{name: str(authority) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")},
        "NO_PROXY": "",
        "no_proxy": "",
    }


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))
