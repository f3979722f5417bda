"""Twitch on loopback: EventSub, by WebSocket and by signed webhooks, Helix and OAuth as the documentation has them.

It checks what it is sent (tokens, scopes, arguments) and can be told to misbehave.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import httpx
from aiohttp import WSCloseCode, web

from chat_moderator.protocols import Intake, WebhookSource
from chat_moderator.types import now
from tests.servers.trouble import Trouble

BOT: Final = "4000"
CLIENT, CLIENT_SECRET, SECRET = "client-of-tests", "client-secret_of_tests", "a secret of tests 0123456789"
Deliver = Callable[[bytes, dict[str, str]], Awaitable[int]]


class RefusalError(Exception):
    """Helix's answer to what it does not do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class TwitchServer(Trouble):
    """Three channels, as people and a bot's account use them."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.token, self.refresh_token, self.app_token = "user-token_0", "refresh-token_0", "app-token_0"
        self.scopes = {
            "moderator:manage:automod",
            "moderator:manage:banned_users",
            "moderator:manage:chat_messages",
            "moderator:manage:warnings",
            "user:read:chat",
            "user:read:moderated_channels",
            "user:write:chat",
        }
        self.users = {"general": "1", "random": "2", "moderators": "3", "moderator_bot": BOT}
        self.unreadable: set[str] = set()
        self.messages: list[dict[str, Any]] = []
        self.held_back: dict[str, dict[str, Any]] = {}
        self.automod: list[tuple[str, str]] = []
        self.warned: list[tuple[str, str]] = []
        self.banned: dict[tuple[str, str], int] = {}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.subscriptions: list[dict[str, Any]] = []
        self.latest: dict[str, Any] = {}
        self.pending: list[tuple[str, dict[str, Any]]] = []
        self.deliver: Deliver | None = None
        self.flushing = asyncio.Lock()
        self.not_before = 0.0
        self.calls: list[tuple[float, str, str, dict[str, str]]] = []
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.hold_calls = asyncio.Event()  # while it is clear, acting calls are taken and not answered
        self.hold_calls.set()
        self.held = 0
        self.renewals = 0
        self.warnable = True

    def user(self, login: str) -> str:
        return self.users.setdefault(login, str(5000 + len(self.users)))

    # People.

    async def say(
        self,
        text: str,
        *,
        author: str = "ada",
        roles: tuple[str, ...] = (),
        bot: bool = False,  # Twitch marks none
        own: bool = False,
        channel: str = "general",
        reply_to: str = "",
    ) -> str:
        assert not bot
        login = "moderator_bot" if own else author
        event = self.event(login, text, channel, str(uuid.uuid4()), roles, reply_to)
        if text:
            self.messages.append(event)
        await self.emit("channel.chat.message", event)
        return str(event["message_id"])

    async def hold(self, text: str, *, author: str = "ada", channel: str = "general") -> str:
        """AutoMod holds a message."""
        event = self.event(author, text, channel, str(uuid.uuid4()), (), "")
        self.held_back[event["message_id"]] = event
        names = {"user_id": event["chatter_user_id"], "user_login": author, "user_name": author}
        told = {key: value for key, value in event.items() if not key.startswith(("chatter_", "badges"))}
        why = {"category": "bullying", "level": 2, "boundaries": [{"start_pos": 0, "end_pos": 3}]}
        held = {"reason": "automod", "automod": why, "blocked_term": None, "held_at": _rfc3339(now())}
        await self.emit("automod.message.hold", told | names | held)
        return str(event["message_id"])

    def event(  # noqa: PLR0917 -- as short as it gets
        self, login: str, text: str, channel: str, identifier: str, roles: tuple[str, ...], reply_to: str
    ) -> dict[str, Any]:
        return {
            "broadcaster_user_id": self.users[channel],
            "broadcaster_user_login": channel,
            "broadcaster_user_name": channel.capitalize(),
            "chatter_user_id": self.user(login),
            "chatter_user_login": login,
            "chatter_user_name": login,
            "message_id": identifier,
            "message": {"text": text, "fragments": [{"type": "text", "text": text}]},
            "color": "",
            "badges": [{"set_id": role, "id": "1", "info": ""} for role in roles],
            "message_type": "text",
            "cheer": None,
            "reply": {"parent_message_id": reply_to, "parent_message_body": ""} if reply_to else None,
            "channel_points_custom_reward_id": None,
            "source_broadcaster_user_id": None,
        }

    # EventSub.

    async def emit(self, kind: str, event: dict[str, Any]) -> None:
        for subscription in list(self.subscriptions):
            condition = subscription["condition"]
            if subscription["type"] == kind and condition["broadcaster_user_id"] == event["broadcaster_user_id"]:
                await self.notify(str(uuid.uuid4()), "notification", {"subscription": subscription, "event": event})

    async def notify(self, identifier: str, kind: str, payload: dict[str, Any]) -> None:
        self.latest = {"identifier": identifier, "kind": kind, "payload": payload}
        subscription = payload["subscription"]
        socket = self.sockets.get(subscription["transport"].get("session_id", ""))
        if socket is not None:
            about = {"subscription_type": subscription["type"], "subscription_version": subscription["version"]}
            with contextlib.suppress(ConnectionError):
                await socket.send_json(_frame(kind, payload, identifier, **about))
        elif subscription["transport"]["method"] == "webhook":
            self.pending.append((identifier, {"kind": kind, **payload}))
            await self.flush()

    async def flush(self) -> None:
        """Calls the webhook with what was not taken, oldest first, as Twitch does a few times."""
        async with self.flushing:
            while self.deliver is not None and self.pending:
                identifier, payload = self.pending[0]
                body = json.dumps({key: value for key, value in payload.items() if key != "kind"}).encode()
                status = await self.deliver(body, signed(body, now(), identifier=identifier, kind=payload["kind"]))
                if not 200 <= status < 300:
                    return
                self.pending.pop(0)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=None)
        await socket.prepare(request)
        seconds = int(request.query.get("keepalive_timeout_seconds", "10"))
        if not 10 <= seconds <= 600:
            self.complaints.append(f"keepalive_timeout_seconds {seconds}")
        old, session = request.query.get("moved", ""), str(uuid.uuid4())
        for subscription in self.subscriptions:
            if old and subscription["transport"].get("session_id") == old:
                subscription["transport"]["session_id"] = session
        self.sockets[session] = socket
        told = {"id": session, "status": "connected", "keepalive_timeout_seconds": seconds, "reconnect_url": None}
        await socket.send_json(_frame("session_welcome", {"session": told}, str(uuid.uuid4())))
        async for _ in socket:
            self.complaints.append("EventSub was written to")
        self.sockets.pop(session, None)
        self.subscriptions = [each for each in self.subscriptions if each["transport"].get("session_id") != session]
        return socket

    async def move(self, last_words: Callable[[], Awaitable[object]]) -> None:
        """Asks the client to connect elsewhere; what is said meanwhile comes over the old connection."""
        for session, socket in list(self.sockets.items()):
            address = f"{self.url.replace('http', 'ws')}/ws?keepalive_timeout_seconds=30&moved={session}"
            told = {"id": session, "status": "reconnecting", "reconnect_url": address}
            await socket.send_json(_frame("session_reconnect", {"session": told}, str(uuid.uuid4())))
        await last_words()

    async def revoke_subscriptions(self, channel: str, status: str) -> None:
        for subscription in list(self.subscriptions):
            if subscription["condition"]["broadcaster_user_id"] == self.users[channel]:
                subscription["status"] = status
                await self.notify(str(uuid.uuid4()), "revocation", {"subscription": subscription})
                self.subscriptions.remove(subscription)

    # OAuth.

    async def validate(self, request: web.Request) -> web.Response:
        if self.revoked or request.headers.get("Authorization") != f"OAuth {self.token}":
            return web.json_response({"status": 401, "message": "invalid access token"}, status=401)
        found = {"client_id": CLIENT, "login": "moderator_bot", "scopes": sorted(self.scopes), "user_id": BOT}
        return web.json_response(found | {"expires_in": 5520838})

    async def grant(self, request: web.Request) -> web.Response:
        given = await request.post()
        if (given.get("client_id"), given.get("client_secret")) != (CLIENT, CLIENT_SECRET):
            return web.json_response({"status": 403, "message": "invalid client secret"}, status=403)
        self.renewals += 1
        if given.get("grant_type") == "client_credentials":
            self.app_token = f"app-token_{self.renewals}"
            return web.json_response({"access_token": self.app_token, "expires_in": 5011271, "token_type": "bearer"})
        if self.revoked or given.get("refresh_token") != self.refresh_token:
            return web.json_response({"status": 400, "message": "Invalid refresh token"}, status=400)
        self.token, self.refresh_token = f"user-token_{self.renewals}", f"refresh-token_{self.renewals}"
        granted = {"access_token": self.token, "refresh_token": self.refresh_token, "token_type": "bearer"}
        return web.json_response(granted | {"scope": sorted(self.scopes)})

    def expire(self) -> None:
        """The token runs out; it can be renewed."""
        self.token = "user-token_that-nobody-has"

    # Helix.

    async def helix(self, request: web.Request) -> web.Response:
        path, query = f"/{request.match_info['path']}", dict(request.query)
        self.calls.append((time.time(), request.method, path, query))
        if time.time() < self.not_before:
            self.early.append(f"{request.method} {path} {self.not_before - time.time():.3f} s before its time")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.headers.get("Client-Id") != CLIENT:
            self.complaints.append(f"{path} without the Client-Id")
        if self.revoked or token not in {self.token, self.app_token}:
            return _refused(401, "Invalid OAuth token")
        acting = path.startswith(("/moderation/", "/chat/")) and request.method != "GET"
        if acting and not self.hold_calls.is_set():
            self.held += 1
            await self.hold_calls.wait()
        if self.failures and acting:
            status, wait = self.failures.pop(0)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                self.not_before = math.ceil(time.time() + (wait or 1))
                headers = {"Ratelimit-Limit": "800", "Ratelimit-Remaining": "0"}
                return _refused(429, "Too Many Requests", headers | {"Ratelimit-Reset": str(int(self.not_before))})
            return web.Response(status=status, text="upstream")
        body = await request.json() if request.can_read_body else {}
        name = f"{request.method.lower()}_{path.strip('/').replace('/', '_')}"
        answer = getattr(self, name, None)
        if answer is None:
            self.complaints.append(f"there is no {request.method} {path}")
            return _refused(404, "Not Found")
        try:
            found = answer(query if request.method in {"GET", "DELETE"} else query | body, request, token)
        except RefusalError as problem:
            return _refused(problem.status, problem.message)
        headers = {"Ratelimit-Limit": "800", "Ratelimit-Remaining": "700", "Ratelimit-Reset": str(int(time.time()) + 1)}
        return web.json_response(found, headers=headers) if found else web.Response(status=204, headers=headers)

    def moderates(self, given: dict[str, Any], scope: str) -> str:
        if given.get("moderator_id", BOT) != BOT:
            raise RefusalError(401, "The ID in moderator_id must match the user ID found in the access token.")
        if scope not in self.scopes:
            raise RefusalError(401, f"Missing scope: {scope}")
        if not self.permitted or given.get("broadcaster_id", "") in {self.users[name] for name in self.barred}:
            raise RefusalError(403, "The user is not one of the broadcaster's moderators.")
        return str(given.get("broadcaster_id", ""))

    def get_users(self, _: dict[str, Any], request: web.Request, __: str) -> Any:
        return {"data": [{"id": self.users[each], "login": each} for each in request.query.getall("login")
                         if each in self.users]}  # fmt: skip

    def get_moderation_channels(self, _: dict[str, Any], __: web.Request, ___: str) -> Any:
        names = ("general", "random", "moderators") if self.permitted else ()
        return {"data": [{"broadcaster_id": self.users[name], "broadcaster_login": name} for name in names]}

    def post_eventsub_subscriptions(self, given: dict[str, Any], _: web.Request, token: str) -> Any:
        transport, condition = given["transport"], given["condition"]
        versions = {"channel.chat.message": "1", "automod.message.hold": "2"}
        if versions.get(given["type"]) != given["version"]:
            raise RefusalError(400, "invalid subscription type and version")
        if (transport["method"] == "webhook") != (token == self.app_token):
            raise RefusalError(400, "invalid transport and auth combination")
        if transport["method"] == "webhook" and transport.get("secret") != SECRET:
            self.complaints.append("a webhook without its secret")
        if transport["method"] == "websocket" and transport["session_id"] not in self.sockets:
            raise RefusalError(400, "websocket transport session does not exist or has already disconnected")
        if condition["broadcaster_user_id"] in self.unreadable:
            raise RefusalError(403, "subscription missing proper authorization")
        wanted = {"type": given["type"], "condition": condition, "transport": transport}
        if any(wanted == {key: each[key] for key in wanted} for each in self.subscriptions):
            raise RefusalError(409, "subscription already exists")
        made = {"id": str(uuid.uuid4()), "status": "enabled", "version": given["version"], "cost": 0, **wanted}
        self.subscriptions.append(made)
        return {"data": [made]}

    def delete_moderation_chat(self, given: dict[str, Any], _: web.Request, __: str) -> Any:
        channel = self.moderates(given, "moderator:manage:chat_messages")
        self.deletions.append(given.get("message_id", ""))
        if not given.get("message_id"):
            self.complaints.append("the whole chat was deleted")
            self.messages = [each for each in self.messages if each["broadcaster_user_id"] != channel]
            return None
        for message in self.messages:
            if message["message_id"] == given["message_id"] and message["broadcaster_user_id"] == channel:
                self.messages.remove(message)
                return None
        raise RefusalError(404, "The ID in message_id was not found.")

    def post_moderation_bans(self, given: dict[str, Any], _: web.Request, __: str) -> Any:
        channel, data = self.moderates(given, "moderator:manage:banned_users"), given["data"]
        if not 1 <= data["duration"] <= 1_209_600 or len(data["reason"]) > 500:
            raise RefusalError(400, "The value in the duration field is not valid.")
        if data["user_id"] == channel:
            raise RefusalError(400, "The user specified in the user_id field may not be put in a timeout.")
        self.banned[channel, data["user_id"]] = data["duration"]
        return {"data": [{"broadcaster_id": channel, "user_id": data["user_id"]}]}

    def delete_moderation_bans(self, given: dict[str, Any], _: web.Request, __: str) -> Any:
        channel = self.moderates(given, "moderator:manage:banned_users")
        if self.banned.pop((channel, given["user_id"]), None) is None:
            raise RefusalError(400, "The user specified in the user_id query parameter is not banned.")

    def post_moderation_warnings(self, given: dict[str, Any], _: web.Request, __: str) -> Any:
        self.moderates(given, "moderator:manage:warnings")
        data = given["data"]
        if not self.warnable:
            raise RefusalError(400, "The user specified in the user_id field may not be warned.")
        if not 1 <= len(data["reason"]) <= 500:
            raise RefusalError(400, "The text in the reason field is too long.")
        self.warned.append((data["user_id"], data["reason"]))
        return {"data": [{"broadcaster_id": given["broadcaster_id"], "user_id": data["user_id"]}]}

    def post_moderation_automod_message(self, given: dict[str, Any], _: web.Request, __: str) -> Any:
        self.moderates({"moderator_id": given["user_id"]}, "moderator:manage:automod")
        event = self.held_back.pop(given["msg_id"], None)
        if event is None:
            raise RefusalError(404, "The message specified in the msg_id field was not found.")
        self.automod.append((given["action"], event["message"]["text"]))
        if given["action"] == "ALLOW":
            self.messages.append(event)
            self._shown = asyncio.ensure_future(self.emit("channel.chat.message", event))

    def post_chat_messages(self, given: dict[str, Any], _: web.Request, __: str) -> Any:
        if given["sender_id"] != BOT or "user:write:chat" not in self.scopes:
            raise RefusalError(401, "Missing scope: user:write:chat")
        if not 1 <= len(given["message"]) <= 500:
            raise RefusalError(400, "The message is too long.")
        login = next(login for login, known in self.users.items() if known == given["broadcaster_id"])
        event = self.event("moderator_bot", given["message"], login, str(uuid.uuid4()), ("moderator",), "")
        self.messages.append(event)
        self._shown = asyncio.ensure_future(self.emit("channel.chat.message", event))
        return {"data": [{"message_id": event["message_id"], "is_sent": True}]}


class TwitchPlatform(TwitchServer):
    """Implements `testing.sources.Platform`."""

    name = "twitch"
    can = frozenset({"connects", "timeout", "limits", "roles", "private", "presses", "rooms", "revokes", "final"})

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "token": self.token,
            "refresh_token": self.refresh_token,
            "channels": ["general", "random"],
            "moderators_channel": "moderators",
            "api": f"{self.url}/helix",
            "id_api": f"{self.url}/oauth2",
            "eventsub": f"{self.url.replace('http', 'ws')}/ws",
        }

    async def attach(self, source: WebhookSource | None, intake: Intake | None) -> None:
        """It is connected to."""

    def post_to(self, url: str) -> None:
        """Calls an app that is served somewhere; what is not taken waits until it is."""

        async def deliver(body: bytes, given: dict[str, str]) -> int:
            async with httpx.AsyncClient() as client:
                try:
                    return (await client.post(url, content=body, headers=given)).status_code
                except httpx.HTTPError:
                    return 0

        self.deliver = deliver

    async def say_nothing(self) -> None:
        await self.say("")

    async def edit(self, identifier: str, text: str) -> None:
        raise AssertionError("there are no edits on Twitch")

    async def repeat(self) -> None:
        await self.notify(**self.latest)

    async def press(self, seq: int, *, approve: bool) -> None:
        word = "undo" if approve else "confirm"
        assert any(f"!{word} {seq}" in text for text in self.alerts())
        await self.say(f"!{word} {seq}", author="mia", roles=("moderator",), channel="moderators")

    async def disconnect(self) -> None:
        for socket in list(self.sockets.values()):
            await socket.close(code=WSCloseCode.INTERNAL_ERROR)
        self.subscriptions.clear()

    def texts(self, channel: str = "general") -> list[str]:
        place = self.users[channel]
        return [each["message"]["text"] for each in self.messages if each["broadcaster_user_id"] == place]

    def told(self, author: str = "ada") -> list[str]:
        return [reason for user, reason in self.warned if user == self.users[author]]

    def alerts(self) -> list[str]:
        return self.texts("moderators")

    def timed_out(self) -> list[str]:
        names = {identifier: login for login, identifier in self.users.items()}
        return sorted({names[user] for _, user in self.banned})

    def refuse_private(self) -> None:
        self.warnable = False


class TwitchEvents:
    """Implements `testing.webhooks.WebhookCase`."""

    signature, time, signs = "twitch-eventsub-message-signature", "twitch-eventsub-message-timestamp", True
    settings: dict[str, Any] = {"webhook": "https://chat.example.com/webhooks/hooked", "webhook_secret": SECRET}

    def call(self) -> bytes:
        event = TwitchServer().event("ada", "bad", "general", "cc106a89-1814-419d-854c-f4f2f970aae7", (), "")
        about = {"id": "1", "type": "channel.chat.message", "version": "1", "status": "enabled", "condition": {}}
        return json.dumps({"subscription": about, "event": event}).encode()

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        return signed(body, at, secret="another secret of tests" if foreign else SECRET)


@contextlib.asynccontextmanager
async def twitch_server() -> AsyncIterator[TwitchPlatform]:
    server = TwitchPlatform()
    application = web.Application()
    application.router.add_get("/ws", server.socket)
    application.router.add_get("/oauth2/validate", server.validate)
    application.router.add_post("/oauth2/token", server.grant)
    application.router.add_route("*", "/helix/{path:.+}", server.helix)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def signed(
    body: bytes,
    at: datetime,
    *,
    secret: str = SECRET,
    identifier: str = "e76c6bd4-55c9-4987-8304-da1588d8988b",
    kind: str = "notification",
    timestamp: str = "",
) -> dict[str, str]:
    moment = timestamp or _rfc3339(at)
    content = f"{identifier}{moment}".encode() + body
    return {
        "content-type": "application/json",
        "twitch-eventsub-message-id": identifier,
        "twitch-eventsub-message-retry": "0",
        "twitch-eventsub-message-type": kind,
        "twitch-eventsub-message-timestamp": moment,
        "twitch-eventsub-message-signature": f"sha256={hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()}",
        "twitch-eventsub-subscription-type": "channel.chat.message",
        "twitch-eventsub-subscription-version": "1",
    }


def _rfc3339(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"


def _frame(kind: str, payload: dict[str, Any], identifier: str, **about: str) -> dict[str, Any]:
    metadata = {"message_id": identifier, "message_type": kind, "message_timestamp": _rfc3339(now()), **about}
    return {"metadata": metadata, "payload": payload}


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": HTTPStatus(status).phrase, "status": status, "message": message}
    return web.json_response(body, status=status, headers=headers)
