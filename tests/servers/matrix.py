"""Matrix's own homeserver, Synapse, on loopback; a relay before it can be told to misbehave.

It is started once for all tests, and ends with them. Each platform has rooms and a moderating account of its own.
"""

import asyncio
import atexit
import contextlib
import functools
import hashlib
import hmac
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
from aiohttp import ClientError, ClientSession, web

from chat_moderator.sources.matrix_alerts import keys_of
from chat_moderator.testing.sources import CONNECTS, HISTORY, LIMITS, PRESSES, PRIVATE, REPLAYS, REVOKES, ROLES, ROOMS
from chat_moderator.testing.sources import TIMEOUT as TIMES_OUT
from chat_moderator.types import Verdict
from tests.running import free_port
from tests.servers.process import ServerProcess

DOMAIN: Final = "localhost"
SECRET: Final = "registration"
SETTINGS: Final = """
server_name: localhost
pid_file: {directory}/pid
listeners:
  - {{port: {port}, type: http, tls: false, bind_addresses: [127.0.0.1], resources: [{{names: [client]}}]}}
database: {{name: sqlite3, args: {{database: "{directory}/homeserver.db"}}}}
media_store_path: {directory}/media
signing_key_path: {directory}/signing.key
registration_shared_secret: registration
report_stats: false
trusted_key_servers: []
bcrypt_rounds: 4
caches: {{sync_response_cache_duration: 0s}}
enable_media_repo: false
rc_message: {{per_second: 10000, burst_count: 10000}}
rc_login: {{address: {{per_second: 10000, burst_count: 10000}}, account: {{per_second: 10000, burst_count: 10000}}}}
rc_joins: {{local: {{per_second: 10000, burst_count: 10000}}}}
rc_invites: {{per_room: {{per_second: 10000, burst_count: 10000}}, per_user: {{per_second: 10000, burst_count: 10000}},
  per_issuer: {{per_second: 10000, burst_count: 10000}}}}
rc_room_creation: {{per_second: 10000, burst_count: 10000}}
"""
NUMBERS: Final = itertools.count(1)
ACTING: Final = ("/redact/", "/send/", "/state/")


@functools.cache
def homeserver() -> str:
    """The address of the one Synapse."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="synapse", dir=memory if memory.is_dir() else None))
    port = free_port()
    settings = directory / "homeserver.yaml"
    settings.write_text(SETTINGS.format(directory=directory, port=port))
    key = directory / "signing.key"
    key.write_text("ed25519 a_test 8OFr5H8PVXmNQ7dEfGqX0P5zGZsYyKXWrbGcuQ5ZTWE\n")
    command = [sys.executable, "-m", "synapse.app.homeserver", "--config-path", str(settings)]
    process = ServerProcess(command, port, directory / "log")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(process.stop)
    return f"http://127.0.0.1:{port}"


class Person:
    """An account and what it does."""

    def __init__(self, name: str) -> None:
        self.http = httpx.Client(base_url=homeserver(), timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
        local = f"{name}{next(NUMBERS)}" if name == "bot" else name
        self.local = local if local.isascii() else "u" + local.encode().hex()
        self.id = f"@{self.local}:{DOMAIN}"
        nonce = self.http.get("/_synapse/admin/v1/register").json()["nonce"]
        parts = (nonce, self.local, "password", "admin" if name == "owner" else "notadmin")
        mac = hmac.new(SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": self.local, "displayname": name, "password": "password", "mac": mac}
        answer = self.http.post("/_synapse/admin/v1/register", json=body | {"admin": name == "owner"})
        self.token = answer.json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method: str, path: str, body: Any = None, **parameters: Any) -> dict[str, Any]:
        answer = self.http.request(method, f"/_matrix/client/v3{path}", json=body, params=parameters)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def send(self, room: str, content: dict[str, Any], kind: str = "m.room.message") -> str:
        return str(self.call("PUT", f"/rooms/{room}/send/{kind}/{next(NUMBERS)}{time.time_ns()}", content)["event_id"])

    def create(self, name: str, levels: dict[str, int]) -> str:
        body: dict[str, Any] = {"name": name, "preset": "public_chat", "room_version": "11"}
        body["power_level_content_override"] = {"users": {self.id: 150, **levels}}
        return str(self.call("POST", "/createRoom", body)["room_id"])

    def join(self, room: str) -> None:
        self.call("POST", f"/join/{room}", {})

    def seen(self, room: str) -> list[str]:
        """What people see in a room, in order."""
        shown: dict[str, str] = {}
        chunk = self.call("GET", f"/rooms/{room}/messages", dir="f", limit=1000)["chunk"]
        for event in chunk:
            content = event["content"]
            if event["type"] != "m.room.message" or "body" not in content:
                continue
            relation = content.get("m.relates_to", {})
            if relation.get("rel_type") == "m.replace":
                if relation["event_id"] in shown:
                    shown[relation["event_id"]] = content["m.new_content"]["body"]
            else:
                shown[event["event_id"]] = content["body"]
        return list(shown.values())


@functools.cache
def person(name: str) -> Person:
    return Person(name)


class MatrixPlatform:
    """Implements `Platform`."""

    name = "matrix"
    can = frozenset({CONNECTS, TIMES_OUT, LIMITS, REPLAYS, HISTORY, ROLES, PRIVATE, PRESSES, ROOMS, REVOKES})

    def __init__(self) -> None:
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.owner = person("owner")
        self.bot = Person("bot")
        self.members: set[tuple[str, str]] = set()
        self.senders: dict[str, tuple[Person, str]] = {}
        levels = {self.bot.id: 100, person("mia").id: 50}
        self.rooms = {name: self.owner.create(name, levels) for name in ("general", "random", "moderators")}
        for room in self.rooms.values():
            self.bot.join(room)
        self.failures: list[tuple[int, float | None]] = []
        self.not_before = 0.0
        self.syncing: set[asyncio.Task[Any]] = set()
        self.url = ""
        self.hold_calls = asyncio.Event()  # while it is clear, acting calls are taken and not answered
        self.hold_calls.set()
        self.held = 0
        self.syncs = 0
        self.lost = False

    @property
    def settings(self) -> dict[str, Any]:
        moderators = self.rooms["moderators"]
        return {"homeserver": self.url, "token": self.bot.token, "moderators_channel": moderators}

    async def attach(self, source: object, intake: object) -> None:
        raise AssertionError("nothing is called")

    def member(self, name: str, room: str) -> Person:
        who = person(name)
        if (name, room) not in self.members:
            who.join(room)
            self.members.add((name, room))
        return who

    async def say(
        self,
        text: str,
        *,
        author: str = "ada",
        roles: tuple[str, ...] = (),
        bot: bool = False,
        own: bool = False,
        channel: str = "general",
        reply_to: str = "",
        **content: Any,
    ) -> str:
        room = self.rooms[channel]
        who = self.bot if own else self.member(author, room)
        if "moderator" in roles:
            self.level(room, who, 50)
        body: dict[str, Any] = {"msgtype": "m.text", "body": text, **content}
        if reply_to:
            body["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        event = who.send(room, body)
        self.senders[event] = who, room
        return event

    async def say_nothing(self) -> None:
        await self.say("photo.jpg", msgtype="m.image", url="mxc://localhost/one")
        ada, room = self.member("ada", self.rooms["general"]), self.rooms["general"]
        ada.send(room, {"body": "a wave", "url": "mxc://localhost/two", "info": {}}, "m.sticker")
        self.owner.call("PUT", f"/rooms/{room}/state/m.room.topic", {"topic": "nothing to judge"})

    async def edit(self, identifier: str, text: str, *, by: str = "") -> None:
        who, room = self.senders[identifier]
        who = self.member(by, room) if by else who
        new = {"msgtype": "m.text", "body": text}
        relation = {"rel_type": "m.replace", "event_id": identifier}
        who.send(room, {"msgtype": "m.text", "body": f"* {text}", "m.new_content": new, "m.relates_to": relation})

    async def repeat(self) -> None:
        """A homeserver never does that."""

    async def press(self, seq: int, *, approve: bool) -> None:
        mia, room = self.member("mia", self.rooms["moderators"]), self.rooms["moderators"]
        for event in mia.call("GET", f"/rooms/{room}/messages", dir="b", limit=1000)["chunk"]:
            mark = event["content"].get("chat_moderator", {})
            if mark.get("record") == seq:
                key = mark["approve" if approve else "deny"]
                assert key in {key for verdict in (Verdict.BLOCK, Verdict.HOLD) for key in keys_of(verdict)}
                relation = {"rel_type": "m.annotation", "event_id": event["event_id"], "key": key}
                mia.send(room, {"m.relates_to": relation}, "m.reaction")
                return
        raise AssertionError(f"there is no alert of record {seq}")

    async def disconnect(self) -> None:
        self.lost = True  # the library repeats a request whose connection broke, so the next one fails too
        for task in self.syncing:
            task.cancel()

    def texts(self, channel: str = "general") -> list[str]:
        return self.owner.seen(self.rooms[channel])

    def told(self, author: str = "ada") -> list[str]:
        who = person(author)
        return [text for room in self.direct(who) for text in who.seen(room)]

    def direct(self, who: Person) -> list[str]:
        rooms = who.call("GET", "/sync", timeout=0).get("rooms", {})
        others = set(self.bot.call("GET", "/joined_rooms")["joined_rooms"]) - set(self.rooms.values())
        for room in others & set(rooms.get("invite", {})):
            who.join(room)
        return [room for room in (*rooms.get("invite", {}), *rooms.get("join", {})) if room in others]

    def alerts(self) -> list[str]:
        return [text for text in self.texts("moderators") if "record" in text and "rule:" in text]

    def timed_out(self) -> list[str]:
        users = self.levels(self.rooms["general"])["users"]
        return [user[1:].partition(":")[0] for user, level in users.items() if level < 0]

    def levels(self, room: str) -> dict[str, Any]:
        return self.owner.call("GET", f"/rooms/{room}/state/m.room.power_levels")

    def level(self, room: str, who: Person, level: int) -> None:
        levels = self.levels(room)
        levels["users"][who.id] = level
        self.owner.call("PUT", f"/rooms/{room}/state/m.room.power_levels", levels)

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        self.failures.append((status, retry_after))

    def refuse_private(self) -> None:
        ada = person("ada")
        for room in self.direct(ada):
            ada.call("POST", f"/rooms/{room}/leave", {})

    def forbid(self, channel: str = "general") -> None:
        self.level(self.rooms[channel], self.bot, 0)

    def revoke(self) -> None:
        self.bot.call("POST", "/logout", {})

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Everything goes to the homeserver, but where it is to fail."""
        acting = request.method != "GET" and any(part in request.path for part in ACTING)
        if acting:
            if time.monotonic() < self.not_before:
                self.early.append(request.path)
            if self.failures:
                status, wait = self.failures.pop(0)
                if wait is None:
                    return web.Response(status=status, text="<html>upstream</html>")
                self.not_before = time.monotonic() + wait
                body = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": int(wait * 1000)}
                return web.json_response(body, status=status)
            if not self.hold_calls.is_set():
                self.held += 1
                await self.hold_calls.wait()
        task = asyncio.current_task()
        assert task is not None
        if request.path.endswith("/sync"):
            if self.lost:
                self.lost = False
                return web.Response(status=502)
            self.syncs += 1
            self.syncing.add(task)
        headers = {"Authorization": request.headers.get("Authorization", ""), "Content-Type": "application/json"}
        try:
            async with (
                ClientSession(auto_decompress=True) as session,
                session.request(
                    request.method, homeserver() + request.raw_path, data=await request.read(), headers=headers
                ) as answer,
            ):
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        except ClientError:
            return web.Response(status=502)
        finally:
            self.syncing.discard(task)


@contextlib.asynccontextmanager
async def matrix_server() -> AsyncIterator[MatrixPlatform]:
    await asyncio.to_thread(homeserver)
    platform = await asyncio.to_thread(MatrixPlatform)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", platform.relay)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    platform.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield platform
    finally:
        await runner.cleanup()
