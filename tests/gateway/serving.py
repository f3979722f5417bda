"""A gateway on a real port, in the test's own loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from chat_moderator.app import App
from chat_moderator.config import CascadeSettings, Settings
from chat_moderator.gateway.gateway import create_gateway
from chat_moderator.gateway.server import Server, bind
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.store.keys import CreateKey
from chat_moderator.testing.doubles import WordClassifier
from chat_moderator.types import Role


class Gateway:
    """What a test does with a gateway: calls it, looks behind it."""

    def __init__(self, app: App, server: Server, port: int, classifier: WordClassifier) -> None:
        self.app = app
        self.server = server
        self.classifier = classifier
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30)
        self.tokens: dict[Role, str] = {}
        self.ids: dict[Role, str] = {}

    async def make_keys(self) -> None:
        """One key a role."""
        for role in Role:
            made = await self.app.store.execute(CreateKey(name=f"a {role}", role=role))
            self.tokens[role], self.ids[role] = made.token, made.key.id
        self.server.services.keys.forget()

    def bearer(self, role: Role) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[role]}"}

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=headers)

    def connect(self, path: str, **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}{path}", **options)

    async def waiting(self) -> int:
        """How many messages were taken in and are not decided."""
        depth = await self.app.queue.depth()
        return depth.waiting + depth.leased + depth.delayed


@contextlib.asynccontextmanager
async def gateway_on(directory: Path, settings: Settings | None = None) -> AsyncIterator[Gateway]:
    quick = CascadeSettings(tiers=("lexicon",), hints=())  # the words of the tests take its place
    app = App(msgspec.structs.replace(settings or Settings(), cascade=quick), directory)
    classifier = WordClassifier()
    app.moderator.cascade = Cascade([("words", classifier)])
    listener = bind("127.0.0.1", 0)
    server = Server(create_gateway(app))
    await app.start()
    running = asyncio.create_task(server.serve(sockets=[listener]))
    gateway = Gateway(app, server, listener.getsockname()[1], classifier)
    try:
        yield gateway
    finally:
        classifier.answer.set()
        await gateway.http.aclose()
        server.should_exit = True
        await running
        await app.stop()


async def receive(connection: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next frame of one of the kinds."""
    async with asyncio.timeout(25):
        while True:
            frame: dict[str, Any] = msgspec.json.decode(await connection.recv())
            if frame["type"] in kinds:
                return frame


async def send(connection: ClientConnection, frame: dict[str, Any]) -> None:
    await connection.send(msgspec.json.encode(frame).decode())


def message(identifier: str, text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"id": identifier, "text": text, **fields}
