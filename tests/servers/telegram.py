"""Telegram on loopback: the Bot API as its documentation describes it, by long polling and by webhook.

It checks what it is sent (token, arguments, rights) and can be told to misbehave.
"""

import asyncio
import contextlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import httpx
from aiohttp import web

from chat_moderator.protocols import Intake, WebhookSource
from tests.servers.trouble import Trouble

BOT: Final = 700_000_001
TOKEN: Final = f"{BOT}:AAF-token_of_tests"
SECRET: Final = "a-secret_of-tests-0123456789"
ACTING: Final = frozenset(
    {"deleteMessage", "deleteMessages", "sendMessage", "restrictChatMember", "editMessageText", "answerCallbackQuery"}
)
ANONYMOUS: Final = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
CHANNEL_BOT: Final = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
RIGHTS: Final = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)
Deliver = Callable[[bytes, dict[str, str]], Awaitable[int]]


class RefusalError(Exception):
    """The Bot API's answer to what it does not do."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


class TelegramServer(Trouble):
    """Three supergroups, a basic group and a channel, as people and a bot use them."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.chats: dict[str, dict[str, Any]] = {
            "general": {"id": -1001000000001, "type": "supergroup", "title": "General"},
            "random": {"id": -1001000000002, "type": "supergroup", "title": "random"},
            "moderators": {"id": -1001000000003, "type": "supergroup", "title": "Moderators"},
            "basic": {"id": -4000001, "type": "group", "title": "A basic group"},
            "news": {"id": -1001000000009, "type": "channel", "title": "News"},
        }
        self.migrated: dict[int, int] = {}
        self.users: dict[str, int] = {}
        self.administrators: dict[int, dict[int, str]] = {}
        self.messages: list[dict[str, Any]] = []
        self.private: list[dict[str, Any]] = []
        self.restricted: dict[tuple[int, int], float] = {}
        self.updates: list[dict[str, Any]] = []
        self.latest: dict[str, Any] = {}
        self.changed = asyncio.Condition()
        self.not_before: dict[str, float] = {}
        self.calls: list[tuple[float, str, dict[str, str]]] = []
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.answered: list[str] = []
        self.webhook: dict[str, str] = {}
        self.deliver: Deliver | None = None
        self.flushing = asyncio.Lock()
        self.last_error = ""
        self.polling: set[asyncio.Task[Any] | None] = set()
        self.down = 0
        self.hold_calls = asyncio.Event()  # while it is clear, acting calls are taken and not answered
        self.hold_calls.set()
        self.held = 0
        self.private_open = True
        self.reads_all = True
        self.number = 100

    def user(self, name: str) -> dict[str, Any]:
        identifier = self.users.setdefault(name, 5_000_000 + len(self.users))
        found = {"id": identifier, "is_bot": False, "first_name": name, "language_code": "en"}
        return found | ({"username": name} if name.isascii() else {})

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
        extra: dict[str, Any] | None = None,
    ) -> str:
        chat, user = self.chats[channel], self.user(author)
        if own:
            user = {"id": BOT, "is_bot": True, "first_name": "moderator", "username": "moderator_bot"}
        elif bot:
            user |= {"is_bot": True}
        for title in set(roles) - {"member"}:
            await self.promote(chat, user, title)
        self.number += 1
        message = {"message_id": self.number, "date": int(time.time()), "chat": chat, "from": user, "text": text}
        if reply_to:
            answered = self.find(int(reply_to)) or {}
            message["reply_to_message"] = {key: value for key, value in answered.items() if key != "reply_to_message"}
        message |= extra or {}
        if not text:
            del message["text"]
        self.messages.append(message)
        await self.update(**{"channel_post" if chat["type"] == "channel" else "message": dict(message)})
        return str(message["message_id"])

    async def say_as_channel(self, text: str, *, anonymous: bool = False) -> str:
        """In the name of a channel, or of the group itself."""
        speaker = self.chats["general" if anonymous else "news"]
        extra = {"from": ANONYMOUS if anonymous else CHANNEL_BOT, "sender_chat": speaker}
        return await self.say(text, extra=extra)

    async def edit(self, identifier: str, text: str) -> None:
        message = self.find(int(identifier))
        assert message is not None
        message |= {"text": text, "edit_date": int(time.time())}
        kind = "edited_channel_post" if message["chat"]["type"] == "channel" else "edited_message"
        await self.update(**{kind: dict(message)})

    async def promote(self, chat: dict[str, Any], user: dict[str, Any], title: str) -> None:
        self.administrators.setdefault(chat["id"], {})[user["id"]] = title
        old, new = {"status": "member", "user": user}, self.administrator(user, title)
        told = {"chat": chat, "from": user, "date": int(time.time()), "old_chat_member": old, "new_chat_member": new}
        await self.update(chat_member=told)

    async def expel(self, *, channel: str = "general", back: bool = False) -> None:
        """The bot is thrown out of a chat, or made an administrator there."""
        me = {"id": BOT, "is_bot": True, "first_name": "moderator", "username": "moderator_bot"}
        new = self.administrator(me, "") if back else {"status": "kicked", "user": me, "until_date": 0}
        told = {"chat": self.chats[channel], "from": self.user("mia"), "date": int(time.time())}
        await self.update(
            my_chat_member=told | {"old_chat_member": {"status": "left", "user": me}, "new_chat_member": new}
        )

    async def upgrade(self, channel: str) -> None:
        """A group becomes a supergroup, which is another chat."""
        old = self.chats[channel]
        new = old | {"id": -1001000000000 + old["id"], "type": "supergroup"}
        self.number += 1
        self.chats[channel] = new
        self.migrated[old["id"]] = new["id"]
        message = {"message_id": self.number, "date": int(time.time()), "chat": old, "from": self.user("mia")}
        await self.update(message=message | {"migrate_to_chat_id": new["id"]})

    def administrator(self, user: dict[str, Any], title: str) -> dict[str, Any]:
        rights = dict.fromkeys(RIGHTS, self.permitted)
        return {"status": "administrator", "user": user, **rights, **({"custom_title": title} if title else {})}

    def find(self, number: int) -> dict[str, Any] | None:
        return next((each for each in self.messages if each["message_id"] == number), None)

    # Updates.

    async def update(self, **content: Any) -> None:
        self.number += 1
        self.latest = {"update_id": self.number, **content}
        self.updates.append(self.latest)
        async with self.changed:
            self.changed.notify_all()
        await self.flush()

    async def flush(self) -> None:
        """Calls the webhook with what was not taken, oldest first, as Telegram does until it is taken."""
        async with self.flushing:
            while self.deliver is not None and self.updates:
                status = await self.deliver(json.dumps(self.updates[0]).encode(), headers(SECRET))
                if status != 200:
                    return
                self.updates.pop(0)

    # The Bot API.

    async def method(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 -- the ways it may end
        name, moment = request.match_info["method"], time.monotonic()
        arguments = {key: str(value) for key, value in (*request.query.items(), *(await request.post()).items())}
        if self.down and request.transport is not None:
            self.down -= 1
            request.transport.abort()
            return web.Response(status=500)
        chat = arguments.get("chat_id", "")
        self.calls.append((moment, name, arguments))
        if name in ACTING and moment < self.not_before.get(chat, 0.0):
            self.early.append(f"{name} {self.not_before[chat] - moment:.3f} s before its time")
        if self.revoked or request.match_info["token"] != TOKEN:
            return _refused(RefusalError(401, "Unauthorized"))
        if name in ACTING and not self.hold_calls.is_set():
            self.held += 1
            await self.hold_calls.wait()
        if self.failures and name in ACTING:
            status, wait = self.failures.pop(0)
            if status == 429:
                seconds = math.ceil(wait or 1)
                self.not_before[chat] = time.monotonic() + seconds
                return _refused(RefusalError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds))
            return _refused(RefusalError(status, "Internal Server Error"))
        answer = getattr(self, "on_" + re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name), None)
        if answer is None:
            self.complaints.append(f"there is no method {name}")
            return _refused(RefusalError(404, "Not Found"))
        try:
            return web.json_response({"ok": True, "result": await answer(arguments)})
        except RefusalError as problem:
            return _refused(problem)

    async def on_get_me(self, _: dict[str, str]) -> Any:
        flags = {
            "can_join_groups": True,
            "can_read_all_group_messages": self.reads_all,
            "supports_inline_queries": False,
        }
        return {"id": BOT, "is_bot": True, "first_name": "moderator", "username": "moderator_bot", **flags}

    async def on_get_updates(self, arguments: dict[str, str]) -> Any:
        if self.webhook:
            raise RefusalError(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook")
        if self.polling:
            raise RefusalError(409, "Conflict: terminated by other getUpdates request; make sure that only one runs")
        if "edited_message" not in arguments.get("allowed_updates", ""):
            self.complaints.append("edited messages are not asked for")
        offset = int(arguments.get("offset", "0"))
        self.updates = [each for each in self.updates if each["update_id"] >= offset]
        task = asyncio.current_task()
        self.polling.add(task)
        try:
            async with asyncio.timeout(float(arguments.get("timeout", "0"))), self.changed:
                await self.changed.wait_for(lambda: bool(self.updates))
        except TimeoutError:
            pass
        finally:
            self.polling.discard(task)
        return self.updates[:100]

    async def on_delete_webhook(self, _: dict[str, str]) -> Any:
        self.webhook = {}
        return True

    async def on_set_webhook(self, arguments: dict[str, str]) -> Any:
        if not arguments["url"].startswith("https://"):
            raise RefusalError(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if arguments.get("secret_token") != SECRET:
            self.complaints.append("a webhook without its secret")
        self.webhook = arguments
        return True

    async def on_get_webhook_info(self, _: dict[str, str]) -> Any:
        info = {"url": self.webhook.get("url", ""), "has_custom_certificate": False}
        failed = {"last_error_date": int(time.time()) + 1, "last_error_message": self.last_error}
        return info | {"pending_update_count": len(self.updates)} | (failed if self.last_error else {})

    async def on_get_chat(self, arguments: dict[str, str]) -> Any:
        return self.chat(arguments) | {"accent_color_id": 0, "max_reaction_count": 1}

    async def on_get_chat_member(self, arguments: dict[str, str]) -> Any:
        self.chat(arguments)
        if int(arguments["user_id"]) != BOT:
            raise RefusalError(400, "Bad Request: PARTICIPANT_ID_INVALID")
        me = {"id": BOT, "is_bot": True, "first_name": "moderator"}
        return self.administrator(me, "") if self.permitted else {"status": "member", "user": me}

    async def on_get_chat_administrators(self, arguments: dict[str, str]) -> Any:
        chat = self.chat(arguments)
        names = {identifier: name for name, identifier in self.users.items()}
        found = self.administrators.get(chat["id"], {})
        return [self.administrator(self.user(names[identifier]), title) for identifier, title in found.items()]

    async def on_delete_message(self, arguments: dict[str, str]) -> Any:
        chat = self.chat(arguments)
        message = self.find(int(arguments["message_id"]))
        self.deletions.append(arguments["message_id"])
        if not self.permitted or self.is_barred(chat):
            raise RefusalError(400, "Bad Request: message can't be deleted")
        if message is None or message["chat"]["id"] != chat["id"]:
            raise RefusalError(400, "Bad Request: message to delete not found")
        self.messages.remove(message)
        return True

    async def on_delete_messages(self, arguments: dict[str, str]) -> Any:
        chat, numbers = self.chat(arguments), json.loads(arguments["message_ids"])
        if not 1 <= len(numbers) <= 100 or len(set(numbers)) != len(numbers):
            self.complaints.append(f"{len(numbers)} messages to delete, or one twice")
        self.deletions += [str(number) for number in numbers]
        if not self.permitted or self.is_barred(chat):
            raise RefusalError(400, "Bad Request: message can't be deleted")
        self.messages = [
            each for each in self.messages if each["message_id"] not in numbers or each["chat"]["id"] != chat["id"]
        ]
        return True

    async def on_send_message(self, arguments: dict[str, str]) -> Any:
        text = arguments["text"]
        if len(text.encode("utf-16-le")) // 2 > 4096:
            raise RefusalError(400, "Bad Request: message is too long")
        if not text.strip():
            raise RefusalError(400, "Bad Request: message text is empty")
        if "parse_mode" in arguments:
            self.complaints.append("a text that Telegram would read as markup")
        self.number += 1
        sent: dict[str, Any] = {"message_id": self.number, "date": int(time.time()), "text": text}
        if "reply_markup" in arguments:
            sent["reply_markup"] = json.loads(arguments["reply_markup"])
            for row in sent["reply_markup"]["inline_keyboard"]:
                if any(not 1 <= len(button["callback_data"].encode()) <= 64 for button in row):
                    raise RefusalError(400, "Bad Request: BUTTON_DATA_INVALID")
        if not arguments["chat_id"].startswith(("-", "@")):
            if int(arguments["chat_id"]) not in self.users.values():
                raise RefusalError(400, "Bad Request: chat not found")
            if not self.private_open:
                raise RefusalError(403, "Forbidden: bot can't initiate conversation with a user")
            person = {"id": int(arguments["chat_id"]), "type": "private"}
            self.private.append(sent | {"chat": person})
            return self.private[-1]
        sent |= {"chat": self.chat(arguments), "from": {"id": BOT, "is_bot": True, "first_name": "moderator"}}
        self.messages.append(sent)
        return sent

    async def on_restrict_chat_member(self, arguments: dict[str, str]) -> Any:
        chat, user = self.chat(arguments), int(arguments["user_id"])
        if chat["type"] != "supergroup":
            raise RefusalError(400, "Bad Request: method is available only for supergroups")
        if not self.permitted:
            raise RefusalError(400, "Bad Request: not enough rights to restrict/unrestrict chat member")
        if user in self.administrators.get(chat["id"], {}):
            raise RefusalError(400, "Bad Request: user is an administrator of the chat")
        if all(json.loads(arguments["permissions"]).values()):
            self.restricted.pop((chat["id"], user), None)
            return True
        ahead = int(arguments["until_date"]) - time.time()
        if not 30 <= ahead <= 366 * 86400:
            self.complaints.append(f"an end {ahead:.0f} s ahead restricts for ever")
        self.restricted[chat["id"], user] = ahead
        return True

    async def on_answer_callback_query(self, arguments: dict[str, str]) -> Any:
        if len(arguments.get("text", "")) > 200:
            raise RefusalError(400, "Bad Request: MESSAGE_TOO_LONG")
        self.answered.append(arguments["callback_query_id"])
        return True

    async def on_edit_message_text(self, arguments: dict[str, str]) -> Any:
        message = self.find(int(arguments["message_id"]))
        if message is None:
            raise RefusalError(400, "Bad Request: message to edit not found")
        message["text"] = arguments["text"]
        message.pop("reply_markup", None)
        return message

    def is_barred(self, chat: dict[str, Any]) -> bool:
        return chat["id"] in {self.chats[name]["id"] for name in self.barred}

    def chat(self, arguments: dict[str, str]) -> dict[str, Any]:
        identifier = arguments["chat_id"]
        if int(identifier) in self.migrated:
            moved = self.migrated[int(identifier)]
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise RefusalError(400, description, migrate_to_chat_id=moved)
        for chat in self.chats.values():
            if str(chat["id"]) == identifier:
                return chat
        raise RefusalError(400, "Bad Request: chat not found")


class TelegramPlatform(TelegramServer):
    """Implements `testing.sources.Platform`."""

    name = "telegram"
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
        return {"token": TOKEN, "api": self.url, "moderators_channel": str(self.chats["moderators"]["id"])}

    async def attach(self, source: WebhookSource | None, intake: Intake | None) -> None:
        """It polls."""

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
        file = {"file_id": "s", "file_unique_id": "s", "type": "regular", "width": 1, "height": 1}
        await self.say("", extra={"sticker": file | {"is_animated": False, "is_video": False}})
        await self.say("", extra={"photo": [file], "document": file | {"file_name": "cat.png"}})
        await self.say("", extra={"new_chat_members": [self.user("eve")]})
        await self.say("", extra={"pinned_message": {"message_id": 1, "date": 0, "chat": self.chats["general"]}})

    async def repeat(self) -> None:
        """Delivers the latest update again, under its number."""
        self.updates.append(self.latest)
        async with self.changed:
            self.changed.notify_all()

    async def press(self, seq: int, *, approve: bool) -> None:
        alert = next(
            each for each in self.messages if f"record {seq}" in each.get("text", "") and "reply_markup" in each
        )
        wanted = f"chat-moderator:{seq}:{'approve' if approve else 'deny'}"
        row = alert["reply_markup"]["inline_keyboard"][0]
        assert any(button["callback_data"] == wanted for button in row)
        self.number += 1
        query = {"id": str(self.number), "from": self.user("mia"), "chat_instance": "1", "data": wanted}
        await self.update(callback_query=query | {"message": dict(alert)})

    async def disconnect(self) -> None:
        self.down = 1
        for task in self.polling:
            if task is not None:
                task.cancel()

    def texts(self, channel: str = "general") -> list[str]:
        place = self.chats[channel]["id"]
        return [each["text"] for each in self.messages if each["chat"]["id"] == place and "text" in each]

    def told(self, author: str = "ada") -> list[str]:
        return [each["text"] for each in self.private if each["chat"]["id"] == self.users[author]]

    def alerts(self) -> list[str]:
        return self.texts("moderators")

    def timed_out(self) -> list[str]:
        names = {identifier: name for name, identifier in self.users.items()}
        return sorted({names[user] for _, user in self.restricted})

    def refuse_private(self) -> None:
        self.private_open = False


class TelegramUpdates:
    """Implements `testing.webhooks.WebhookCase`: Telegram sends a secret, no signature and no time."""

    signature, time, signs = "x-telegram-bot-api-secret-token", "", False
    settings: dict[str, Any] = {"webhook": "https://chat.example.com/webhooks/hooked", "webhook_secret": SECRET}

    def call(self) -> bytes:
        chat = {"id": -1001000000001, "type": "supergroup", "title": "General"}
        author = {"id": 5, "is_bot": False, "first_name": "ada"}
        message = {"message_id": 7, "date": 1_700_000_000, "chat": chat, "from": author, "text": "bad"}
        return json.dumps({"update_id": 9, "message": message}).encode()

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        return headers("another-secret_of-tests" if foreign else SECRET)


@contextlib.asynccontextmanager
async def telegram_server() -> AsyncIterator[TelegramPlatform]:
    server = TelegramPlatform()
    application = web.Application()
    application.router.add_post("/bot{token}/{method}", server.method)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def headers(secret: str) -> dict[str, str]:
    return {"content-type": "application/json", "x-telegram-bot-api-secret-token": secret}


def _refused(problem: RefusalError) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": problem.code, "description": problem.description}
    return web.json_response(
        body | ({"parameters": problem.parameters} if problem.parameters else {}), status=problem.code
    )
