"""Slack on loopback: the Web API as its documentation describes it, and events signed as Slack signs them.

It checks what it is sent (token, scope, arguments) and can be told to misbehave.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import httpx
from aiohttp import web

from chat_moderator.errors import ChatModeratorError
from chat_moderator.protocols import Intake, WebhookSource
from chat_moderator.types import WebhookCall, now
from tests.servers.trouble import Trouble

BOT, BOT_ID, TEAM, ADMIN = "U0BOT", "B0BOT", "T0TEAM", "U0ADMIN"
SECRET: Final = "8f742231b10e8888abcd99yyyzzz85a5"
FORM: Final = "application/x-www-form-urlencoded"
Deliver = Callable[[bytes, dict[str, str]], Awaitable[int]]


class SlackServer(Trouble):
    """One workspace with three channels, as people and an app use it."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.user_token = "xoxb-bot", "xoxp-admin"
        self.url = ""
        self.channels = {"general": "C1GENERAL", "random": "C2RANDOM", "moderators": "C3MODS"}
        self.users: dict[str, str] = {}
        self.messages: list[dict[str, Any]] = []
        self.ephemeral: list[dict[str, Any]] = []
        self.not_before: dict[str, float] = {}
        self.calls: list[tuple[float, str]] = []
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.pending: list[tuple[bytes, str]] = []
        self.latest: list[tuple[bytes, str]] = []
        self.deliver: Deliver | None = None
        self.hold_calls = asyncio.Event()  # while it is clear, acting calls are taken and not answered
        self.hold_calls.set()
        self.held = 0
        self.turn = asyncio.Lock()
        self.members_stay = True
        self.number = 0
        self.unreadable: set[str] = set()  # channels whose history is refused
        self.busy = 0  # of so many next calls to read, each is answered that it comes too soon

    def user(self, name: str) -> str:
        return self.users.setdefault(name, f"U{len(self.users) + 1:04}")

    def ts(self) -> str:
        self.number += 1
        return f"{int(time.time())}.{int(time.time() * 1e6) % 10**6 // 1000 * 1000 + self.number % 1000:06}"

    # People.

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
        **extra: Any,
    ) -> str:
        message: dict[str, Any] = {"type": "message", "text": _escaped(text), "ts": self.ts()}
        if own:
            message |= {"user": BOT, "bot_id": BOT_ID}
        elif bot:
            message |= {"subtype": "bot_message", "bot_id": "B9", "username": author}
        else:
            message |= {"user": self.user(author)}
        if reply_to:
            message["thread_ts"] = reply_to
        message |= extra
        self.messages.append(message | {"channel": self.channels[channel]})
        await self.event(message | {"channel": self.channels[channel], "event_ts": message["ts"]})
        return str(message["ts"])

    async def edit(self, identifier: str, text: str) -> None:
        message = self.find(identifier)
        assert message is not None
        before = dict(message)
        message["text"] = _escaped(text)
        message["edited"] = {"user": message["user"], "ts": f"{int(time.time())}.000000"}
        inner = {key: value for key, value in message.items() if key != "channel"}
        changed = {"type": "message", "subtype": "message_changed", "hidden": True, "ts": self.ts()}
        changed |= {"channel": message["channel"], "message": inner, "previous_message": before}
        await self.event(changed | {"event_ts": changed["ts"]})

    def find(self, ts: str) -> dict[str, Any] | None:
        return next((each for each in self.messages if each["ts"] == ts), None)

    # Calls to the app.

    async def event(self, event: dict[str, Any]) -> None:
        self.number += 1
        body = {
            "token": "legacy",
            "team_id": TEAM,
            "api_app_id": "A1",
            "type": "event_callback",
            "event_id": f"Ev{self.number}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
            "event": event,
        }
        await self.send(json.dumps(body).encode(), "application/json")

    async def send(self, body: bytes, media: str) -> None:
        self.latest = [(body, media)]
        self.pending.append((body, media))
        await self.flush()

    async def flush(self) -> None:
        """Sends what was not taken, oldest first, as Slack does until it is taken."""
        async with self.turn:
            while self.deliver is not None and self.pending:
                body, media = self.pending[0]
                status = await self.deliver(body, signed(body, now(), media=media))
                if status != 200:
                    return
                self.pending.pop(0)

    # The Web API.

    async def method(self, request: web.Request) -> web.Response:
        name = request.match_info["method"]
        moment = time.monotonic()
        self.calls.append((moment, name))
        if moment < self.not_before.get(name, 0.0):
            self.early.append(f"{name} {self.not_before[name] - moment:.3f} s before its time")
        if not request.headers.get("Content-Type", "").startswith("application/json"):
            self.complaints.append(f"{name} as {request.headers.get('Content-Type')}")
        arguments = json.loads(await request.read() or b"{}")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.revoked or token not in {self.token, self.user_token}:
            return _error("invalid_auth")
        if name.startswith("chat.") and not self.hold_calls.is_set():
            self.held += 1
            await self.hold_calls.wait()
        if self.failures and name.startswith("chat."):
            status, wait = self.failures.pop(0)
            if status == 429:
                self.not_before[name] = moment + (wait or 0.0)
                return _error("ratelimited", status=429, headers={"Retry-After": str(wait)})
            return web.Response(status=status, text="upstream")
        if self.busy and name.endswith(("history", "conversations")):
            self.busy -= 1
            self.not_before[name] = time.monotonic() + 0.2
            return _error("ratelimited", status=429, headers={"Retry-After": "0.2"})
        answers = {
            "auth.test": self.auth_test,
            "users.info": self.users_info,
            "users.conversations": self.conversations,
            "conversations.history": self.history,
            "conversations.info": self.conversation,
            "chat.delete": self.delete,
            "chat.postMessage": self.post,
            "chat.postEphemeral": self.post_ephemeral,
            "chat.update": self.update,
        }
        if name not in answers:
            self.complaints.append(f"there is no method {name}")
            return _error("unknown_method")
        return await answers[name](arguments, token)

    async def auth_test(self, _: dict[str, Any], token: str) -> web.Response:
        scopes = (
            "channels:history,channels:read,chat:write,groups:history,groups:read,users:read"
            if self.permitted
            else "channels:history"
        )
        me = {"user_id": BOT, "bot_id": BOT_ID} if token == self.token else {"user_id": ADMIN}
        return _ok({**me, "team_id": TEAM, "team": "A team"}, headers={"X-OAuth-Scopes": scopes})

    async def users_info(self, arguments: dict[str, Any], _: str) -> web.Response:
        for name, identifier in self.users.items():
            if identifier == arguments["user"]:
                return _ok({"user": {"id": identifier, "name": name, "is_bot": False, "is_admin": name == "mia"}})
        return _error("user_not_found")

    async def conversations(self, arguments: dict[str, Any], _: str) -> web.Response:
        found = [{"id": identifier, "name": name} for name, identifier in self.channels.items()]
        start, most = int(arguments.get("cursor") or 0), int(arguments.get("limit", 100))
        more = str(start + most) if start + most < len(found) else ""
        return _ok({"channels": found[start : start + most], "response_metadata": {"next_cursor": more}})

    async def conversation(self, arguments: dict[str, Any], _: str) -> web.Response:
        for name, identifier in self.channels.items():
            if identifier == arguments["channel"]:
                return _ok({"channel": {"id": identifier, "name": name, "is_member": True}})
        return _error("channel_not_found")

    async def history(self, arguments: dict[str, Any], _: str) -> web.Response:
        found = [
            {key: value for key, value in each.items() if key != "channel"}
            for each in self.messages
            if each["channel"] == arguments["channel"] and float(each["ts"]) > float(arguments["oldest"])
        ]
        if arguments["channel"] in self.unreadable:
            return _error("not_in_channel")
        most = int(arguments.get("limit", 100))
        return _ok({"messages": found[::-1][:most], "has_more": len(found) > most})

    async def delete(self, arguments: dict[str, Any], token: str) -> web.Response:
        message = self.find(arguments["ts"])
        self.deletions.append(arguments["ts"])
        if not self.permitted:
            return _error("missing_scope")
        if arguments["channel"] in {self.channels[name] for name in self.barred}:
            return _error("cant_delete_message")
        if message is None or message["channel"] != arguments["channel"]:
            return _error("message_not_found")
        if token != self.user_token and message.get("bot_id") != BOT_ID:
            return _error("cant_delete_message")
        self.messages.remove(message)
        return _ok({"channel": arguments["channel"], "ts": arguments["ts"]})

    async def post(self, arguments: dict[str, Any], token: str) -> web.Response:
        if token != self.token:
            self.complaints.append("the admin's token speaks")
        for block in arguments.get("blocks", ()):
            text = block.get("text", {}).get("text", "x")
            if not 0 < len(text) <= 3000:
                return _error("invalid_blocks")
        if arguments["channel"] not in self.channels.values():
            return _error("channel_not_found")
        message = {"type": "message", "user": BOT, "bot_id": BOT_ID, "ts": self.ts(), "channel": arguments["channel"]}
        message |= {key: arguments[key] for key in ("text", "blocks", "metadata", "thread_ts") if key in arguments}
        self.messages.append(message)
        await self.event(message | {"event_ts": message["ts"]})
        return _ok({"ts": message["ts"], "channel": message["channel"]})

    async def post_ephemeral(self, arguments: dict[str, Any], _: str) -> web.Response:
        if arguments["user"] not in self.users.values() or not self.members_stay:
            return _error("user_not_in_channel")
        self.ephemeral.append(arguments)
        return _ok({"message_ts": self.ts()})

    async def update(self, arguments: dict[str, Any], _: str) -> web.Response:
        message = self.find(arguments["ts"])
        if message is None:
            return _error("message_not_found")
        message |= {key: arguments[key] for key in ("text", "blocks") if key in arguments}
        return _ok({"ts": arguments["ts"]})


class SlackPlatform(SlackServer):
    """Implements `testing.sources.Platform`."""

    name = "slack"
    can = frozenset({"limits", "replays", "history", "bots", "private", "presses", "rooms", "revokes"})

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "user_token": self.user_token,
            "signing_secret": SECRET,
            "api": self.url,
            "moderators_channel": self.channels["moderators"],
        }

    async def attach(self, source: WebhookSource | None, intake: Intake | None) -> None:
        if source is None or intake is None:
            self.deliver = None
            return

        async def deliver(body: bytes, headers: dict[str, str]) -> int:
            try:
                return (await source.receive(WebhookCall(headers, body, now()), intake)).status
            except ChatModeratorError:
                return 503

        self.deliver = deliver
        await self.flush()

    def post_to(self, url: str) -> None:
        """Calls an app that is served somewhere; what is not taken waits until it is."""

        async def deliver(body: bytes, headers: dict[str, str]) -> int:
            async with httpx.AsyncClient() as client:
                try:
                    return (await client.post(url, content=body, headers=headers)).status_code
                except httpx.HTTPError:
                    return 0

        self.deliver = deliver

    async def say_nothing(self) -> None:
        await self.say("", subtype="file_share", files=[{"id": "F1", "name": "cat.png"}])
        await self.say("", blocks=[{"type": "image", "image_url": "https://cdn.example/cat.png", "alt_text": "a cat"}])
        await self.say("<@U1> has joined the channel", subtype="channel_join")
        await self.say("<@U1> pinned a message", subtype="pinned_item")

    async def repeat(self) -> None:
        self.pending += self.latest
        await self.flush()

    async def press(self, seq: int, *, approve: bool) -> None:
        alert = next(each for each in self.messages if f"record {seq}" in each["text"] and "blocks" in each)
        wanted = f"chat-moderator:{'approve' if approve else 'deny'}"
        elements = next(block["elements"] for block in alert["blocks"] if block["type"] == "actions")
        action = next(each for each in elements if each["action_id"] == wanted)
        self.user("mia")
        await self.send(press_of(action, self.channels["moderators"], alert), FORM)

    async def disconnect(self) -> None:
        """The app does not answer once; Slack sends it again."""
        deliver, self.deliver = self.deliver, None
        await self.say_later(deliver)

    async def say_later(self, deliver: Deliver | None) -> None:
        async def failing(_: bytes, __: dict[str, str]) -> int:
            self.deliver = deliver
            return 503

        self.deliver = failing

    def texts(self, channel: str = "general") -> list[str]:
        place = self.channels[channel]
        return [_unescaped(each["text"]) for each in self.messages if each["channel"] == place]

    def told(self, author: str = "ada") -> list[str]:
        return [_unescaped(each["text"]) for each in self.ephemeral if each["user"] == self.users[author]]

    def alerts(self) -> list[str]:
        return self.texts("moderators")

    def timed_out(self) -> list[str]:
        return []

    def refuse_private(self) -> None:
        self.members_stay = False


class SlackEvents:
    """Implements `testing.webhooks.WebhookCase`: a message event."""

    signature, time, signs = "x-slack-signature", "x-slack-request-timestamp", True
    settings: dict[str, Any] = {"signing_secret": SECRET}

    def call(self) -> bytes:
        event = {"type": "message", "channel": "C1GENERAL", "user": "U1", "text": "bad", "ts": "1700000000.000100"}
        return json.dumps(
            {"type": "event_callback", "team_id": TEAM, "event_id": "Ev1", "event": event, "event_time": 1}
        ).encode()

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        return signed(body, at, secret="another" if foreign else SECRET)


class SlackButtons(SlackEvents):
    """A pressed button, which is a form."""

    settings: dict[str, Any] = {"signing_secret": SECRET, "moderators_channel": "C3MODS"}

    def call(self) -> bytes:
        action = {"action_id": "chat-moderator:approve", "value": "1", "type": "button"}
        return press_of(action, "C3MODS", {"ts": "1700000000.000100", "text": "", "blocks": []})

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        return signed(body, at, secret="another" if foreign else SECRET, media=FORM)


@contextlib.asynccontextmanager
async def slack_server() -> AsyncIterator[SlackPlatform]:
    server = SlackPlatform()
    application = web.Application()
    application.router.add_post("/api/{method}", server.method)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    try:
        yield server
    finally:
        await runner.cleanup()


def press_of(action: dict[str, Any], channel: str, alert: dict[str, Any]) -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": "U0009", "username": "mia", "team_id": TEAM},
        "channel": {"id": channel, "name": "moderators"},
        "message": {"ts": alert["ts"], "text": alert["text"], "blocks": alert["blocks"]},
        "actions": [action],
        "response_url": "https://hooks.slack.example/actions",
    }
    return urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, at: datetime, *, secret: str = SECRET, media: str = "application/json") -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    content = b"v0:" + timestamp.encode() + b":" + body
    signature = "v0=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return {"content-type": media, "x-slack-signature": signature, "x-slack-request-timestamp": timestamp}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _ok(body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"ok": True, **body}, headers=headers)


def _error(error: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"ok": False, "error": error}, status=status, headers=headers)
