"""Acts on Slack through its Web API."""

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from chat_moderator.errors import (
    ForbiddenError,
    MissingExtraError,
    PermanentError,
    SkippedError,
    TransientError,
    UnauthorizedError,
)
from chat_moderator.sources.connection import ConnectionConfig
from chat_moderator.types import Message, Outcome, Record, Verdict

try:
    import aiohttp
    from slack_sdk.errors import SlackApiError
    from slack_sdk.web.async_client import AsyncWebClient
except ImportError as problem:
    raise MissingExtraError("source 'slack'", "slack") from problem

APPS: Final = "https://api.slack.com/apps"
PATIENCE: Final = 5.0
"""Seconds that a call waits for its turn; whoever would wait longer is told when to come back."""

REFUSED: Final = timedelta(minutes=5)
"""Before a refused token is tried again."""

BUSY: Final = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"})
AWAY: Final = frozenset({"user_not_in_channel"})
RELEASED: Final = "chat_moderator_release"
LIMIT: Final = 2900
"""Characters of a section block, with room for a mark that it was cut."""

UNAUTHORIZED: Final = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "org_login_required"}
)
REFUSED_TOKEN: Final = f"Slack refuses the token: copy it anew from {APPS}, OAuth & Permissions"
_FORBIDDEN: Final = (
    (
        {"channel_not_found", "not_in_channel", "is_archived"},
        "Slack says that the bot is not{where} ({error}): say /invite @the-bot there",
    ),
    (
        {"cant_delete_message", "compliance_exports_prevent_deletion"},
        "Slack lets the owner of user_token not delete{where} ({error}): an admin's token is needed",
    ),
    (
        {"missing_scope", "not_allowed_token_type", "no_permission"},
        f"Slack's {{method}}{{where}} needs a scope that the token lacks ({{error}}): add it at {APPS}, and reinstall",
    ),
)
_LABELS: Final = {Verdict.BLOCK: ("Undo", "Confirm"), Verdict.HOLD: ("Let through", "Keep out")}


class SlackConfig(ConnectionConfig, frozen=True, kw_only=True):
    """`token`: of the bot (xoxb-); `signing_secret`: of the app; `user_token`: of an admin (xoxp-), who deletes.

    `api`: where Slack's API is. Roles are `admin`, `owner` and `guest`. `moderators_channel` is an id.
    """

    token: str
    signing_secret: str
    user_token: str = ""
    api: str = "https://slack.com/api/"


class SlackEnforcer:
    """Implements `Enforcer`. A message's id is its timestamp in Slack."""

    def __init__(self, config: SlackConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession | None = None
        self._clients: dict[str, AsyncWebClient] = {}
        self._not_before: dict[str, float] = {}
        self._refused_until = {False: 0.0, True: 0.0}  # of the bot's token, of the admin's

    async def delete(self, message: Message, *, reason: str) -> None:  # noqa: ARG002 -- Slack takes no reason
        """See `Enforcer.delete`; an admin's token is needed, since a bot deletes its own messages only."""
        if not self._config.user_token:
            raise ForbiddenError(
                f"deleting on Slack in channel {message.channel} needs user_token: an admin's token with chat:write "
                f"({APPS}, OAuth & Permissions)"
            )
        with contextlib.suppress(_GoneError):
            await self._call("chat.delete", admin=True, channel=message.channel, ts=message.id)

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:  # noqa: ARG002
        """Slack has no such thing."""
        raise PermanentError(
            "Slack lets nobody keep a member from writing: ask a workspace admin to deactivate the account"
        )

    async def reply(self, message: Message, *, text: str) -> None:
        """Shows a text in the channel that only the author sees."""
        call: dict[str, Any] = {"channel": message.channel, "user": message.author.id, "text": escaped(text)}
        await self._call("chat.postEphemeral", **call, **_thread(message))

    async def release(self, message: Message) -> None:
        """Shows the text again, under its author's name but as the bot, unless that was done."""
        seen = await self._call(
            "conversations.history", channel=message.channel, oldest=message.id, limit=200, include_all_metadata=True
        )
        for each in seen.get("messages", ()):
            metadata = each.get("metadata") or {}
            if metadata.get("event_type") == RELEASED and metadata.get("event_payload", {}).get("ts") == message.id:
                return
        await self._call(
            "chat.postMessage",
            channel=message.channel,
            text=f"*{escaped(message.author.name or message.author.id)}* wrote:\n{escaped(message.text)}",
            metadata={"event_type": RELEASED, "event_payload": {"ts": message.id}},
            unfurl_links=False,
            unfurl_media=False,
            **_thread(message),
        )

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`."""
        if not self._config.moderators_channel:
            return False
        text, blocks = alert_of(record)
        channel = self._config.moderators_channel
        await self._call(
            "chat.postMessage", channel=channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False
        )
        return True

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Shows a deleted message again, as `release` does."""
        if outcome.action not in {"delete", "hold"}:
            raise PermanentError(f"{outcome.action} cannot be taken back")
        await self.release(message)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session, self._clients = None, {}

    async def _call(self, method: str, *, admin: bool = False, **arguments: Any) -> dict[str, Any]:
        """One call of the Web API.

        Raises:
            TransientError: Slack asks to wait, refuses the token, is at fault or cannot be reached.
            PermanentError: it refuses.
        """
        refused = self._refused_until[admin] - time.monotonic()
        if refused > 0:
            raise UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=refused))
        limit = f"{method} {admin}"
        wait = self._not_before.get(limit, 0.0) - time.monotonic()
        if wait > PATIENCE:
            raise TransientError("Slack asks to wait", retry_after=timedelta(seconds=wait))
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            answer = await self._client(admin=admin).api_call(method, json=arguments)
        except SlackApiError as problem:
            translated = self._translated(problem, method, limit, str(arguments.get("channel", "")))
            if isinstance(translated, UnauthorizedError):
                self._refused_until[admin] = time.monotonic() + REFUSED.total_seconds()
            raise translated from problem
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
            raise TransientError(f"Slack cannot be reached: {type(problem).__name__}") from problem
        found: dict[str, Any] = answer.data  # type: ignore[assignment]  # bytes only for files
        return found

    def _client(self, *, admin: bool) -> AsyncWebClient:
        token = self._config.user_token if admin else self._config.token
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        if token not in self._clients:
            client = AsyncWebClient(
                token, base_url=self._config.api, timeout=30, session=self._session, retry_handlers=[]
            )
            self._clients[token] = client
        return self._clients[token]

    def _translated(self, problem: SlackApiError, method: str, limit: str, channel: str) -> Exception:
        response: Any = problem.response
        status = getattr(response, "status_code", 0) or getattr(response, "status", 0)
        data = getattr(response, "data", None)
        error = str(data.get("error", "")) if isinstance(data, dict) else ""
        if status == 429 or error in BUSY:  # noqa: PLR2004 -- HTTP's own
            seconds = _seconds(getattr(response, "headers", {}).get("Retry-After", ""))
            self._not_before[limit] = time.monotonic() + seconds
            return TransientError("Slack asks to wait", retry_after=timedelta(seconds=seconds))
        if status >= 500 or not error:  # noqa: PLR2004
            return TransientError(f"Slack answered {status} to {method}")
        if error in UNAUTHORIZED:
            return UnauthorizedError(REFUSED_TOKEN, retry_after=REFUSED)
        return refusal(error, method, channel)


class _GoneError(PermanentError):
    """There is no such message any more."""


def refusal(error: str, method: str, channel: str) -> PermanentError:
    """What an error code of Slack means to an operator."""
    where = f" in channel {channel}" if channel else ""
    if error == "message_not_found":
        return _GoneError("the message is gone")
    if error in AWAY:
        return SkippedError("the author is not in the channel any more")
    for codes, text in _FORBIDDEN:
        if error in codes:
            return ForbiddenError(text.format(method=method, where=where, error=error))
    return PermanentError(f"Slack refused {method}{where}: {error}")


def alert_of(record: Record) -> tuple[str, Sequence[dict[str, Any]]]:
    """The text of an alert, for notifications, and its blocks with two buttons."""
    message, decision = record.message, record.decision
    who = message.author.name or message.author.id
    why = f"{decision.label or decision.rule} {decision.score:.2f}, rule: {decision.rule}"
    head = f"{decision.verdict}: {who} in {message.channel}: {why}, record {record.seq}"
    quoted = message.text if len(message.text) <= LIMIT else f"{message.text[:LIMIT]} …"
    approve, deny = _LABELS.get(decision.verdict, ("Undo", "Confirm"))
    blocks = [
        _section(head),
        _section(quoted),
        {"type": "actions", "elements": [_button(record.seq, "approve", approve), _button(record.seq, "deny", deny)]},
    ]
    return escaped(f"{head}\n{quoted}"), blocks


def answered(blocks: Sequence[dict[str, Any]], said: str) -> list[dict[str, Any]]:
    """The blocks of an alert after a moderator's word: what came of it, and no buttons any more."""
    return [*(each for each in blocks if each.get("type") != "actions"), _section(said)]


def pressed(action: dict[str, Any]) -> tuple[int, bool] | None:
    """The record and whether it was approved; None for what is no button of ours."""
    word, value = str(action.get("action_id", "")), str(action.get("value", ""))
    if not re.fullmatch(r"chat-moderator:(approve|deny)", word) or not re.fullmatch(r"[0-9]{1,18}", value):
        return None
    return int(value), word.endswith("approve")


def escaped(text: str) -> str:
    """A text in which Slack sees no markup of its own: no mention, no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _thread(message: Message) -> dict[str, Any]:
    return {"thread_ts": message.reply_to} if message.reply_to else {}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text[:3000] or " ", "emoji": False}}


def _button(seq: int, word: str, label: str) -> dict[str, Any]:
    button = {"type": "button", "text": {"type": "plain_text", "text": label}, "value": str(seq)}
    return button | {"action_id": f"chat-moderator:{word}"} | ({"style": "danger"} if word == "deny" else {})


def _seconds(value: str) -> float:
    try:
        return max(0.0, float(value))
    except ValueError:
        return 1.0
