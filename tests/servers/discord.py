"""Discord on loopback: Gateway and REST as its documentation describes them, which checks what it is sent.

It can be told to misbehave: 429 of every kind, 5xx, dropped sockets, lost sessions, doubled and disordered events, a
revoked token, missing intents and permissions.
"""

import asyncio
import contextlib
import json
import math
import time
import urllib.parse
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web
from nacl.signing import SigningKey

from chat_moderator.protocols import Intake, WebhookSource

EPOCH: Final = 1_420_070_400_000
GUILD, OWNER, BOT, APPLICATION = "900000000000000001", "900000000000000002", "900000000000000003", "900000000000000004"
MESSAGE_CONTENT: Final = 1 << 15
BULK_AGE: Final = 14 * 24 * 3600 * 1000


@dataclass
class Session:
    """A Gateway session: every event it was sent, so that it can be resumed."""

    identifier: str
    events: list[dict[str, Any]] = field(default_factory=list)
    socket: "web.WebSocketResponse | None" = None
    deflate: Any = None


@dataclass
class Failure:
    """How the next acting call is answered."""

    status: int
    retry_after: float | None = None
    scope: str = "user"
    via: bool = True
    date: bool = False


class DiscordServer:
    """One server (guild) with three channels, as people and a bot use it."""

    def __init__(self) -> None:
        self.token = self.given_token = "bot-token.of.tests"
        self.url = ""
        self.number = 0
        self.channels: dict[str, str] = {}
        self.threads: dict[str, str] = {}
        self.users: dict[str, str] = {}
        self.roles: dict[str, str] = {}
        self.messages: dict[str, dict[str, Any]] = {}
        self.private: dict[str, str] = {}  # channel -> user
        self.sessions: dict[str, Session] = {}
        self.restricted: dict[str, str] = {}
        self.failures: list[Failure | None] = []  # of the next acting calls; None: it is answered well
        self.clock: Callable[[], float] = time.monotonic  # of `invalid`
        self.said: dict[str, float] = {}
        self.asked: dict[str, float] = {}  # when a message was first to be deleted
        self.deletions: list[str] = []
        self.barred: set[str] = set()
        self.not_before: dict[str, float] = {}
        self.calls: list[tuple[float, str, str]] = []
        self.invalid: list[float] = []
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.interactions: list[dict[str, Any]] = []
        self.nonces: dict[str, dict[str, Any]] = {}
        self.intents = True
        self.permitted = True
        self.private_open = True
        self.lost_sessions = False
        self.bucket: tuple[int, float] | None = None
        self.used: dict[str, tuple[float, int]] = {}
        self.hold_calls = asyncio.Event()  # while it is clear, acting calls are taken and not answered
        self.hold_calls.set()
        self.held = 0
        self.latest: tuple[str, dict[str, Any]] | None = None
        for name in ("general", "random", "moderators"):
            self.channels[name] = self.snowflake()

    def snowflake(self, at: datetime | None = None) -> str:
        self.number += 1
        moment = at.timestamp() if at is not None else time.time()
        return str(((int(moment * 1000) - EPOCH) << 22) | (self.number & 0x3FFFFF))

    # People.

    def user(self, name: str) -> str:
        return self.users.setdefault(name, self.snowflake())

    def role(self, name: str) -> str:
        return self.roles.setdefault(name, self.snowflake())

    async def say(self, text: str, *, author: str = "ada", channel: str = "general", **more: Any) -> str:
        roles = tuple(more.get("roles", ()))
        new = [name for name in roles if name not in self.roles]
        for name in new:
            role = self.role_object(name)
            await self.emit("GUILD_ROLE_CREATE", {"guild_id": GUILD, "role": role})
        own = bool(more.get("own"))
        message = self.message_object(
            self.threads.get(channel) or self.channels[channel],
            text,
            user=BOT if own else self.user(author),
            name="moderator-bot" if own else author,
            bot=own or bool(more.get("bot")),
            roles=roles,
            at=more.get("at"),
        )
        if more.get("reply_to"):
            message["message_reference"] = {"message_id": more["reply_to"], "channel_id": message["channel_id"]}
            message["type"] = 19
        message |= more.get("extra", {})
        self.messages[message["id"]] = message
        self.said[message["id"]] = time.monotonic()
        await self.emit("MESSAGE_CREATE", message)
        return str(message["id"])

    async def edit(self, identifier: str, text: str) -> None:
        message = self.messages[identifier]
        before = message["edited_timestamp"]
        message["content"] = text
        moment = max(
            datetime.now(UTC), datetime.fromisoformat(before) + timedelta(milliseconds=1) if before else _LONG_AGO
        )
        message["edited_timestamp"] = moment.isoformat()
        await self.emit("MESSAGE_UPDATE", dict(message))

    async def start_thread(self, name: str, parent: str = "general") -> None:
        self.threads[name] = self.snowflake()
        await self.emit("THREAD_CREATE", self.thread_object(name, parent))

    def visible(self, channel: str) -> list[dict[str, Any]]:
        place = self.threads.get(channel) or self.channels[channel]
        return [each for each in self.messages.values() if each["channel_id"] == place]

    # What events and answers are made of.

    def role_object(self, name: str) -> dict[str, Any]:
        return {
            "id": self.role(name),
            "name": name,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "position": 1,
            "permissions": "0",
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }

    def thread_object(self, name: str, parent: str) -> dict[str, Any]:
        return {
            "id": self.threads[name],
            "guild_id": GUILD,
            "parent_id": self.channels[parent],
            "owner_id": OWNER,
            "name": name,
            "type": 11,
            "message_count": 0,
            "member_count": 1,
            "rate_limit_per_user": 0,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": datetime.now(UTC).isoformat(),
                "locked": False,
            },
            "last_message_id": None,
        }

    def message_object(
        self, channel: str, text: str, *, user: str, name: str, bot: bool, roles: tuple[str, ...] = (), at: Any = None
    ) -> dict[str, Any]:
        return {
            "id": self.snowflake(at),
            "channel_id": channel,
            "guild_id": GUILD,
            "author": {
                "id": user,
                "username": name,
                "discriminator": "0",
                "avatar": None,
                "bot": bot,
                "global_name": None,
            },
            "member": {
                "roles": [self.role(each) for each in roles],
                "joined_at": "2024-03-01T12:00:00+00:00",
                "deaf": False,
                "mute": False,
                "flags": 0,
            },
            "content": text,
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "type": 0,
            "components": [],
        }

    def guild_object(self) -> dict[str, Any]:
        def channel(name: str, identifier: str) -> dict[str, Any]:
            newest = max(
                (each["id"] for each in self.messages.values() if each["channel_id"] == identifier), default=None
            )
            return {
                "id": identifier,
                "guild_id": GUILD,
                "name": name,
                "type": 0,
                "position": 0,
                "permission_overwrites": [],
                "parent_id": None,
                "nsfw": False,
                "last_message_id": newest,
            }

        everyone = self.role_object("@everyone") | {"id": GUILD, "name": "@everyone"}
        return {
            "id": GUILD,
            "name": "A server",
            "owner_id": OWNER,
            "unavailable": False,
            "roles": [everyone, *(self.role_object(name) for name in self.roles if name != "@everyone")],
            "channels": [channel(name, identifier) for name, identifier in self.channels.items()],
            "threads": [self.thread_object(name, "general") for name in self.threads],
            "members": [],
            "emojis": [],
            "stickers": [],
            "features": [],
            "member_count": 3,
            "large": False,
            "afk_timeout": 300,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "premium_tier": 0,
            "premium_progress_bar_enabled": False,
            "preferred_locale": "en-US",
            "nsfw_level": 0,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "public_updates_channel_id": None,
            "afk_channel_id": None,
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }

    # The Gateway.

    async def emit(self, event: str, data: dict[str, Any]) -> None:
        self.latest = (event, dict(data))
        for session in self.sessions.values():
            await self.send_event(session, event, dict(data))

    async def send_event(self, session: Session, event: str, data: dict[str, Any]) -> None:
        frame = {"op": 0, "t": event, "s": len(session.events) + 1, "d": data}
        session.events.append(frame)
        await self.send(session, frame)

    async def send(self, session: Session, frame: dict[str, Any]) -> None:
        socket = session.socket
        if socket is None or socket.closed:
            return
        raw = json.dumps(frame).encode()
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_bytes(session.deflate.compress(raw) + session.deflate.flush(zlib.Z_SYNC_FLUSH))

    async def drop(self, code: int = 4000) -> None:
        """Every socket breaks; a session may be resumed unless it is lost."""
        if self.lost_sessions:
            self.sessions, lost = {}, self.sessions
        else:
            lost = self.sessions
        for session in lost.values():
            socket, session.socket = session.socket, None
            if socket is not None:
                await socket.close(code=code)

    async def gateway(self, request: web.Request) -> web.WebSocketResponse:
        if request.query.get("v") != "10" or request.query.get("encoding") != "json":
            self.complaints.append(f"gateway opened with {request.query_string}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        session = Session(self.snowflake(), socket=socket, deflate=zlib.compressobj())
        await self.send(session, {"op": 10, "d": {"heartbeat_interval": 41_250}, "s": None, "t": None})
        async for received in socket:
            if received.type is not WSMsgType.TEXT:
                continue
            frame = json.loads(received.data)
            match frame["op"]:
                case 1:
                    await self.send(session, {"op": 11, "d": None, "s": None, "t": None})
                case 2:
                    if not await self.identify(session, frame["d"]):
                        break
                case 6:
                    session = await self.resume(session, frame["d"])
                case other:
                    self.complaints.append(f"gateway opcode {other}")
        return socket

    async def identify(self, session: Session, data: dict[str, Any]) -> bool:
        assert session.socket is not None
        if data["token"] != self.token:
            await session.socket.close(code=4004)
            return False
        if data["intents"] & MESSAGE_CONTENT and not self.intents:
            await session.socket.close(code=4014)
            return False
        self.sessions[session.identifier] = session
        ready = {
            "v": 10,
            "user": self.bot_object(),
            "guilds": [{"id": GUILD, "unavailable": True}],
            "session_id": session.identifier,
            "resume_gateway_url": self.gateway_url,
            "shard": data["shard"],
            "application": {"id": APPLICATION, "flags": 0},
        }
        await self.send_event(session, "READY", ready)
        await self.send_event(session, "GUILD_CREATE", self.guild_object())
        return True

    async def resume(self, new: Session, data: dict[str, Any]) -> Session:
        session = self.sessions.get(data["session_id"])
        if session is None or data["token"] != self.token:
            await self.send(new, {"op": 9, "d": False, "s": None, "t": None})
            return new
        session.socket, session.deflate = new.socket, new.deflate
        for frame in session.events[data["seq"] :]:
            await self.send(session, frame)
        await self.send_event(session, "RESUMED", {})
        return session

    @property
    def gateway_url(self) -> str:
        return self.url.replace("http://", "ws://").replace("/api/v10", "/gateway")

    def bot_object(self) -> dict[str, Any]:
        return {
            "id": BOT,
            "username": "moderator-bot",
            "discriminator": "0",
            "avatar": None,
            "bot": True,
            "global_name": None,
            "verified": True,
            "mfa_enabled": False,
            "flags": 0,
        }

    # REST.

    @web.middleware
    async def checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/gateway":
            return await handler(request)  # type: ignore[no-any-return]
        path = request.path.removeprefix("/api/v10")
        moment, route = time.monotonic(), _route(request.method, path)
        self.calls.append((moment, request.method, path))
        for bucket in ("*", route):
            if moment < self.not_before.get(bucket, 0.0):
                self.early.append(f"{request.method} {path} {self.not_before[bucket] - moment:.3f} s before its time")
        if not request.headers.get("User-Agent", "").startswith("DiscordBot (") and "httpx" not in request.headers.get(
            "User-Agent", ""
        ):
            self.complaints.append(f"User-Agent {request.headers.get('User-Agent')}")
        refusal = await self.refusal(request, path, route)
        response = refusal if refusal is not None else await handler(request)
        if response.status in {401, 403, 429}:
            self.invalid.append(self.clock())
        response.headers["Via"] = response.headers.get("Via", "1.1 google")
        if response.headers["Via"] == "-":
            del response.headers["Via"]
        return response

    async def refusal(self, request: web.Request, path: str, route: str) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bot {self.token}":
            return _error(HTTPStatus.UNAUTHORIZED, 0, "401: Unauthorized")
        if request.method in {"POST", "PATCH"} and request.headers.get("Content-Type") != "application/json":
            self.complaints.append(f"{request.method} {path} as {request.headers.get('Content-Type')}")
        acting = request.method != "GET" and not path.startswith("/interactions")
        if acting and not self.hold_calls.is_set():
            self.held += 1
            await self.hold_calls.wait()
        if acting and self.failures:
            failure = self.failures.pop(0)
            if failure is not None:
                return self.failed(failure, route)
        if acting and self.bucket is not None:
            limit, window = self.bucket
            begun, count = self.used.get(route, (0.0, 0))
            now = time.monotonic()
            if now - begun >= window:
                begun, count = now, 0
            self.used[route] = (begun, count + 1)
            if count >= limit:
                return self.failed(Failure(429, begun + window - now), route)
        moderating = request.method in {"DELETE", "PATCH"} or path.endswith("/bulk-delete")
        barred = {self.channels[name] for name in self.barred} & set(path.split("/"))
        if (moderating and not self.permitted) or (barred and request.method != "GET"):
            return _error(HTTPStatus.FORBIDDEN, 50013, "Missing Permissions")
        return None

    def failed(self, failure: Failure, route: str) -> web.Response:
        if failure.status != 429:
            return web.Response(status=failure.status, text="upstream connect error")
        wait = failure.retry_after or 0.0
        if failure.date:  # it is told in whole seconds
            wait += 1 - math.modf(time.time() + wait)[0]
        self.not_before["*" if failure.scope == "global" or not failure.via else route] = time.monotonic() + wait
        body = {"message": "You are being rate limited.", "retry_after": wait, "global": failure.scope == "global"}
        header = f"{wait}" if not failure.date else (datetime.now(UTC) + timedelta(seconds=wait)).strftime(_HTTP_DATE)
        headers = {"Retry-After": header, "X-RateLimit-Scope": failure.scope}
        if failure.scope == "global":
            headers["X-RateLimit-Global"] = "true"
        if not failure.via:
            return web.Response(status=429, text="<html>error 1015</html>", headers=headers | {"Via": "-"})
        return web.Response(status=429, body=json.dumps(body), headers=headers, content_type="application/json")

    def limited(self, route: str) -> dict[str, str]:
        limit, window = self.bucket or (1000, 1.0)
        begun, count = self.used.get(route, (time.monotonic(), 0))
        after = max(0.0, begun + window - time.monotonic())
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - count) if self.bucket else 999),
            "X-RateLimit-Reset": str(time.time() + after),
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": str(zlib.crc32(route.encode())),
        }

    def answer(self, request: web.Request, value: Any = None, status: int = 200) -> web.Response:
        headers = self.limited(_route(request.method, request.path.removeprefix("/api/v10")))
        if value is None:
            return web.Response(status=204, headers=headers)
        return web.Response(body=json.dumps(value), status=status, headers=headers, content_type="application/json")

    async def me(self, request: web.Request) -> web.Response:
        return self.answer(request, self.bot_object())

    async def application(self, request: web.Request) -> web.Response:
        flags = (1 << 19) if self.intents else 0
        found = {"id": APPLICATION, "name": "moderator", "flags": flags, "verify_key": "0" * 64, "bot_public": True}
        return self.answer(
            request,
            found | {"description": "", "icon": None, "bot_require_code_grant": False, "owner": self.bot_object()},
        )

    async def gateway_bot(self, request: web.Request) -> web.Response:
        limits = {"total": 1000, "remaining": 999, "reset_after": 14_400_000, "max_concurrency": 1}
        return self.answer(request, {"url": self.gateway_url, "shards": 1, "session_start_limit": limits})

    async def guilds(self, request: web.Request) -> web.Response:
        permissions = _ALL if self.permitted else 1 << 10
        return self.answer(request, [{"id": GUILD, "name": "A server", "permissions": str(permissions)}])

    async def channel(self, request: web.Request) -> web.Response:
        identifier = request.match_info["channel"]
        if identifier not in self.channels.values():
            return _error(HTTPStatus.NOT_FOUND, 10003, "Unknown Channel")
        return self.answer(request, {"id": identifier, "type": 0, "guild_id": GUILD, "name": "moderators"})

    async def history(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        place = request.match_info["channel"]
        found = [each for each in self.messages.values() if each["channel_id"] == place and int(each["id"]) > after]
        found.sort(key=lambda each: int(each["id"]))
        oldest = found[: int(request.query.get("limit", 50))]
        # As Discord does: without the guild and the member, newest first.
        shown = [{key: value for key, value in each.items() if key not in {"member", "guild_id"}} for each in oldest]
        return self.answer(request, shown[::-1])

    async def send_message(self, request: web.Request) -> web.Response:
        body = await request.json()
        channel = request.match_info["channel"]
        if body.get("allowed_mentions") != {"parse": []}:
            self.complaints.append("a message may mention people")
        if not body.get("content") or len(body["content"]) > 2000:
            return _error(HTTPStatus.BAD_REQUEST, 50035, "Invalid Form Body")
        if channel in self.private and not self.private_open:
            return _error(HTTPStatus.FORBIDDEN, 50007, "Cannot send messages to this user")
        if (
            channel not in self.private
            and channel not in self.channels.values()
            and channel not in self.threads.values()
        ):
            return _error(HTTPStatus.NOT_FOUND, 10003, "Unknown Channel")
        if body.get("enforce_nonce") and body["nonce"] in self.nonces:
            return self.answer(request, self.nonces[body["nonce"]])
        if len(body.get("nonce", "")) > 25:
            return _error(HTTPStatus.BAD_REQUEST, 50035, "Invalid Form Body")
        message = self.message_object(channel, body["content"], user=BOT, name="moderator-bot", bot=True)
        message["components"] = body.get("components", [])
        self.messages[message["id"]] = message
        self.nonces[body.get("nonce", message["id"])] = message
        await self.emit("MESSAGE_CREATE", message)
        return self.answer(request, message)

    async def delete_message(self, request: web.Request) -> web.Response:
        self.audited(request)
        self.noted([request.match_info["message"]])
        if self.messages.pop(request.match_info["message"], None) is None:
            return _error(HTTPStatus.NOT_FOUND, 10008, "Unknown Message")
        return self.answer(request)

    async def bulk_delete(self, request: web.Request) -> web.Response:
        self.audited(request)
        identifiers = [str(each) for each in (await request.json())["messages"]]
        self.noted(identifiers)
        oldest = min(((int(each) >> 22) + EPOCH for each in identifiers), default=0)
        if not 2 <= len(identifiers) <= 100 or len(set(identifiers)) < len(identifiers):
            self.complaints.append(f"bulk deletion of {len(identifiers)} ids, {len(set(identifiers))} different")
        if time.time() * 1000 - oldest > BULK_AGE:
            self.complaints.append("bulk deletion of a message over 14 days")
        for each in identifiers:
            self.messages.pop(each, None)
        return self.answer(request)

    def noted(self, identifiers: list[str]) -> None:
        self.deletions += identifiers
        for each in identifiers:
            self.asked.setdefault(each, time.monotonic())

    async def edit_member(self, request: web.Request) -> web.Response:
        self.audited(request)
        until = (await request.json())["communication_disabled_until"]
        user = request.match_info["user"]
        if user not in self.users.values() or request.match_info["guild"] != GUILD:
            return _error(HTTPStatus.NOT_FOUND, 10007, "Unknown Member")
        if until is None:
            self.restricted.pop(user, None)
        elif datetime.fromisoformat(until) > datetime.now(UTC) + timedelta(days=28):
            return _error(HTTPStatus.BAD_REQUEST, 50035, "Invalid Form Body")
        else:
            self.restricted[user] = until
        member = {"user": {"id": user, "username": "x", "discriminator": "0", "avatar": None}, "roles": []}
        return self.answer(request, member | {"joined_at": None, "deaf": False, "mute": False, "flags": 0})

    async def open_private(self, request: web.Request) -> web.Response:
        user = str((await request.json())["recipient_id"])
        channel = next((place for place, who in self.private.items() if who == user), None) or self.snowflake()
        self.private[channel] = user
        return self.answer(request, {"id": channel, "type": 1, "recipients": [], "last_message_id": None})

    async def callback(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.interactions.append(body)
        return self.answer(request)

    def audited(self, request: web.Request) -> None:
        reason = urllib.parse.unquote(request.headers.get("X-Audit-Log-Reason", ""))
        if not reason.startswith("chat-moderator: "):
            self.complaints.append(f"{request.method} {request.path} without a reason")

    async def unknown(self, request: web.Request) -> web.Response:
        self.complaints.append(f"{request.method} {request.path}: there is no such route")
        return _error(HTTPStatus.NOT_FOUND, 0, "404: Not Found")

    def application_of_routes(self) -> web.Application:
        application = web.Application(middlewares=[self.checked])
        application.router.add_get("/gateway", self.gateway)
        root = "/api/v10"
        for method, path, answer in (
            ("GET", "/users/@me", self.me),
            ("GET", "/users/@me/guilds", self.guilds),
            ("GET", "/applications/@me", self.application),
            ("GET", "/oauth2/applications/@me", self.application),
            ("GET", "/gateway/bot", self.gateway_bot),
            ("GET", "/channels/{channel}", self.channel),
            ("GET", "/channels/{channel}/messages", self.history),
            ("POST", "/channels/{channel}/messages", self.send_message),
            ("DELETE", "/channels/{channel}/messages/{message}", self.delete_message),
            ("POST", "/channels/{channel}/messages/bulk-delete", self.bulk_delete),
            ("PATCH", "/guilds/{guild}/members/{user}", self.edit_member),
            ("POST", "/users/@me/channels", self.open_private),
            ("POST", "/interactions/{interaction}/{token}/callback", self.callback),
        ):
            application.router.add_route(method, f"{root}{path}", answer)
        application.router.add_route("*", "/{rest:.*}", self.unknown)
        return application


class DiscordPlatform(DiscordServer):
    """Implements `testing.sources.Platform`."""

    name = "discord"
    can = frozenset(
        {
            "connects",
            "timeout",
            "limits",
            "replays",
            "history",
            "bots",
            "roles",
            "private",
            "presses",
            "rooms",
            "revokes",
        }
    )

    @property
    def settings(self) -> dict[str, Any]:
        return {"token": self.given_token, "api": self.url, "moderators_channel": self.channels["moderators"]}

    async def attach(self, source: WebhookSource | None, intake: Intake | None) -> None:
        """Events come over the Gateway."""

    async def say_nothing(self) -> None:
        await self.say("", extra={"attachments": [_ATTACHMENT]})
        await self.say("", extra={"sticker_items": [{"id": "9", "name": "wave", "format_type": 1}]})
        await self.say("", extra={"embeds": [{"type": "image", "url": "https://cdn.example/cat.png"}]})
        await self.say("", extra={"type": 7})
        await self.say("", extra={"type": 6})

    async def repeat(self) -> None:
        assert self.latest is not None
        await self.emit(*self.latest)

    async def press(self, seq: int, *, approve: bool) -> None:
        message = next(each for each in self.visible("moderators") if f"record {seq}" in each["content"])
        wanted = f":{seq}:{'approve' if approve else 'deny'}"
        (row,) = message["components"]
        button = next(each for each in row["components"] if each["custom_id"].endswith(wanted))
        await self.emit("INTERACTION_CREATE", self.interaction(button["custom_id"], message))

    def interaction(self, custom_id: str, message: dict[str, Any]) -> dict[str, Any]:
        user = {"id": self.user("mia"), "username": "mia", "discriminator": "0", "avatar": None, "global_name": None}
        return {
            "id": self.snowflake(),
            "application_id": APPLICATION,
            "type": 3,
            "token": "interaction-token",
            "version": 1,
            "guild_id": GUILD,
            "channel_id": message["channel_id"],
            "channel": {"id": message["channel_id"], "type": 0, "permissions": "0", "name": "moderators"},
            "member": {"user": user, "roles": [], "joined_at": "2024-01-01T00:00:00+00:00", "permissions": "0"}
            | {"deaf": False, "mute": False, "flags": 0},
            "message": message,
            "data": {"component_type": 2, "custom_id": custom_id, "id": 2},
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"0": GUILD},
            "app_permissions": "0",
            "attachment_size_limit": 1,
        }

    async def disconnect(self) -> None:
        await self.drop()

    def texts(self, channel: str = "general") -> list[str]:
        return [each["content"] for each in self.visible(channel)]

    def told(self, author: str = "ada") -> list[str]:
        places = [place for place, user in self.private.items() if user == self.users[author]]
        return [each["content"] for each in self.messages.values() if each["channel_id"] in places]

    def alerts(self) -> list[str]:
        return self.texts("moderators")

    def timed_out(self) -> list[str]:
        return [name for name, user in self.users.items() if user in self.restricted]

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        self.failures.append(Failure(status, retry_after))

    def refuse_private(self) -> None:
        self.private_open = False

    def forbid(self, channel: str = "") -> None:
        if channel:
            self.barred.add(channel)
        else:
            self.permitted = False

    def revoke(self) -> None:
        self.token = "another"


class DiscordInteractions:
    """Implements `testing.webhooks.WebhookCase`: a pressed button, by webhook."""

    signature, time, signs = "x-signature-ed25519", "x-signature-timestamp", True

    def __init__(self) -> None:
        self.key, self.foreign = SigningKey.generate(), SigningKey.generate()
        self.settings = {"public_key": bytes(self.key.verify_key).hex(), "moderators_channel": "777"}

    def call(self) -> bytes:
        user = {"id": "11", "username": "mia"}
        message = {"content": "block ada: insult, record 1"}
        pressed = {"custom_id": "chat-moderator:1:approve", "component_type": 2}
        body = {"type": 3, "channel_id": "777", "member": {"user": user}, "message": message, "data": pressed}
        return json.dumps(body).encode()

    def pressed(self, server: DiscordPlatform, seq: int) -> tuple[bytes, dict[str, str]]:
        """A call of the alert's first button."""
        alert = next(each for each in server.visible("moderators") if f"record {seq}" in each["content"])
        body = json.dumps(server.interaction(alert["components"][0]["components"][0]["custom_id"], alert)).encode()
        return body, self.headers(body, datetime.now(UTC))

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        key, timestamp = self.foreign if foreign else self.key, str(int(at.timestamp()))
        signature = key.sign(timestamp.encode() + body).signature.hex()
        return {"content-type": "application/json", self.signature: signature, self.time: timestamp}


@contextlib.asynccontextmanager
async def discord_server() -> AsyncIterator[DiscordPlatform]:
    server = DiscordPlatform()
    runner = web.AppRunner(server.application_of_routes(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
    try:
        yield server
    finally:
        await server.drop(WSCloseCode.GOING_AWAY)
        await runner.cleanup()
        await asyncio.sleep(0)


def _route(method: str, path: str) -> str:
    parts = path.split("/")
    return " ".join([method, *("x" if part.isdigit() and index > 2 else part for index, part in enumerate(parts))])


def _error(status: int, code: int, message: str) -> web.Response:
    body = json.dumps({"code": code, "message": message})
    return web.Response(status=status, body=body, content_type="application/json")


_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
_ALL: Final = (1 << 10) | (1 << 11) | (1 << 13) | (1 << 16) | (1 << 40)
_ATTACHMENT: Final = {
    "id": "1",
    "filename": "cat.png",
    "size": 1,
    "url": "https://cdn.example/cat.png",
    "proxy_url": "https://cdn.example/cat.png",
}
