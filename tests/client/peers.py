"""The Python client and the JavaScript client behind one interface: both are held to the same tests."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from chat_moderator.client import Client, Decision, MessageRefusedError
from chat_moderator.types import Message, Verdict

DRIVER = Path(__file__).parent / "driver.mjs"
CONSOLE = Path(__file__).parents[2] / "src/chat_moderator/console"


class Refused(Exception):  # noqa: N818 -- what a client raises, as the tests see it
    def __init__(self, status: int, field: str) -> None:
        super().__init__(status, field)
        self.status = status
        self.field = field


class Peer:
    """What a test sees of a client.

    Attributes:
        decisions: id and action of each that it was told of, in order.
        errors: statuses that it was told of, without those of connections.
    """

    def __init__(self) -> None:
        self.decisions: list[tuple[str, str]] = []
        self.rules: list[str] = []
        self.errors: list[int] = []
        self._happened = asyncio.Condition()

    async def send(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def moderate(self, message: dict[str, Any]) -> dict[str, Any]:
        """The decision; raises `Refused`."""
        raise NotImplementedError

    async def until(self, true: Callable[[], bool], *, patience: float = 120) -> None:
        async with asyncio.timeout(patience), self._happened:
            await self._happened.wait_for(true)

    async def told(self, decision: dict[str, Any] | None = None, status: int | None = None) -> None:
        if decision is not None:
            self.decisions.append((decision["id"], decision["action"]))
            self.rules.append(decision["rule"])
        if status is not None and status >= 0:
            self.errors.append(status)
        async with self._happened:
            self._happened.notify_all()


class PythonPeer(Peer):
    """`chat_moderator.client`."""

    client: Client

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()

    def heard(self, decision: Decision) -> None:
        self._tell(decision=json.loads(msgspec.json.encode(decision)))

    def failed(self, error: Exception) -> None:
        self._tell(status=error.status if isinstance(error, MessageRefusedError) else -1)

    def _tell(self, **what: Any) -> None:
        task = asyncio.create_task(self.told(**what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, message: dict[str, Any]) -> None:
        self.client.send(msgspec.convert(message, Message))

    async def moderate(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            decision = await self.client.moderate(msgspec.convert(message, Message))
        except MessageRefusedError as error:
            raise Refused(error.status, error.field) from error
        found: dict[str, Any] = json.loads(msgspec.json.encode(decision))
        return found


class NodePeer(Peer):
    """A file of the console in a Node of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__()
        self._process = process
        self._asked: list[asyncio.Future[dict[str, Any]]] = []

    async def send(self, message: dict[str, Any]) -> None:
        await self._command(send=message)

    async def moderate(self, message: dict[str, Any]) -> dict[str, Any]:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        await self._command(number=len(self._asked) - 1, moderate=message)
        return await asyncio.wait_for(future, 120)

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            if "decision" in event:
                await self.told(decision=event["decision"])
            elif "error" in event:
                await self.told(status=event["error"]["status"])
            elif "answer" in event:
                self._asked[event["number"]].set_result(event["answer"])
            elif "refused" in event:
                self._asked[event["number"]].set_exception(
                    Refused(event["refused"]["status"], event["refused"]["field"])
                )

    async def aclose(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert await asyncio.wait_for(self._process.wait(), 60) == 0

    async def _command(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()


class MakePeer(Protocol):
    def __call__(
        self, url: str, *, token: str = "", deadline: float = 60.0, on_failure: str = "hold"
    ) -> contextlib.AbstractAsyncContextManager[Peer]: ...


@contextlib.asynccontextmanager
async def python(url: str, *, token: str = "", deadline: float = 60.0, on_failure: str = "hold") -> AsyncIterator[Peer]:
    peer = PythonPeer()
    peer.client = Client(
        url,
        token=token,
        deadline=deadline,
        on_failure=Verdict(on_failure),
        on_decision=peer.heard,
        on_error=peer.failed,
    )
    async with peer.client:
        yield peer


def node(file: str) -> MakePeer:
    """The client in a file of the console."""

    @contextlib.asynccontextmanager
    async def made(
        url: str, *, token: str = "", deadline: float = 60.0, on_failure: str = "hold"
    ) -> AsyncIterator[Peer]:
        options = {"token": token, "deadline": 1000 * deadline, "onFailure": on_failure}
        process = await asyncio.create_subprocess_exec(
            "node",
            "--experimental-websocket",
            "--no-warnings",
            str(DRIVER),
            env=os.environ
            | {"CLIENT": (CONSOLE / file).as_uri(), "OPTIONS": json.dumps({"url": url, "options": options})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**22,
        )
        peer = NodePeer(process)
        listening = asyncio.create_task(peer.listen())
        try:
            yield peer
            await peer.aclose()
            await listening
        finally:
            listening.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()

    return made


PEERS: dict[str, MakePeer] = {"python": python, "node": node("client.js"), "node-minified": node("client.min.js")}
