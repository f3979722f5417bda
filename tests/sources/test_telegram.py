"""What is Telegram's own: who speaks, what may be restricted, which messages go together, what its webhook takes."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.errors import ConfigError, PermanentError, RefusedError, SkippedError, TransientError
from chat_moderator.sources.telegram import Config, Telegram
from chat_moderator.sources.telegram_enforcer import alert_of, cut
from chat_moderator.sources.telegram_setup import TelegramSetup
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.testing.sources import acting, connected, said
from chat_moderator.types import Author, Outcome, OutcomeState, Verdict, WebhookCall, now
from tests.servers.telegram import SECRET, TOKEN, TelegramPlatform, headers, telegram_server


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramPlatform]:
    async with telegram_server() as server:
        yield server


async def test_who_writes_as_a_channel_or_anonymously_is_no_bot(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, intake):
        await telegram.say_as_channel("as a channel")
        await telegram.say_as_channel("anonymously", anonymous=True)
        await telegram.say("a post", channel="news", extra={"from": None, "sender_chat": telegram.chats["news"]})
        await intake.texts(3)
        roles = [message.author.roles for message in intake.messages]
        assert roles == [("channel",), ("administrator", "anonymous"), ("channel",)]
        for message in intake.messages:
            assert message.author.id.startswith("-100")
            with pytest.raises(PermanentError, match="people"):
                await enforcer.timeout(message, length=timedelta(minutes=5), reason="test")
            with pytest.raises(SkippedError):
                await enforcer.reply(message, text="removed")


async def test_two_edits_within_a_second_are_two_revisions(telegram: TelegramPlatform) -> None:
    async with connected(telegram) as (_, intake):
        identifier = await telegram.say("hello")
        for text in ("first", "second", "third"):
            await telegram.edit(identifier, text)
        await intake.texts(4)
        revisions = [message.revision for message in intake.messages]
        assert revisions == sorted(set(revisions))
        assert max(revisions) < 2**53


async def test_captions_and_polls_are_read(telegram: TelegramPlatform) -> None:
    option = {"voter_count": 0, "persistent_id": "1"}
    poll = {
        "id": "1", "question": "who?", "options": [{"text": "ada", **option}, {"text": "bea", **option}],
        "total_voter_count": 0, "is_closed": False, "is_anonymous": True, "type": "regular",
        "allows_multiple_answers": False,
    }  # fmt: skip
    async with connected(telegram) as (_, intake):
        await telegram.say("", extra={"caption": "under a picture", "photo": []})
        await telegram.say("", extra={"poll": poll})
        assert await intake.texts(2) == ["under a picture", "who?\nada\nbea"]


async def test_an_update_that_cannot_be_read_holds_up_nobody(telegram: TelegramPlatform) -> None:
    async with connected(telegram) as (_, intake):
        await telegram.update(message={"date": "never"})
        await telegram.update(message=5)
        await telegram.say("hello", extra={"poll_of_the_future": {}, "sticker": {"shape": "new"}})
        assert await intake.texts(1) == ["hello"]
        assert len(intake.gaps) == 2


async def test_private_words_to_the_bot_are_not_judged(telegram: TelegramPlatform) -> None:
    telegram.chats["private"] = {"id": 5, "type": "private", "first_name": "ada"}
    async with connected(telegram) as (_, intake):
        await telegram.say("/start", channel="private")
        await telegram.say("hello")
        assert await intake.texts(1) == ["hello"]


@pytest.mark.parametrize("length", [timedelta(seconds=1), timedelta(days=400)])
async def test_no_timeout_is_for_ever(telegram: TelegramPlatform, length: timedelta) -> None:
    async with acting(telegram) as (enforcer, intake):
        await enforcer.timeout(await said(telegram, intake), length=length, reason="test")
        (ahead,) = telegram.restricted.values()
        assert 30 < ahead < 366 * 86400


async def test_in_a_basic_group_nobody_is_restricted_and_it_is_said_why(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, intake):
        await telegram.say("hello", channel="basic")
        await intake.texts(1)
        with pytest.raises(PermanentError, match="supergroup"):
            await enforcer.timeout(intake.messages[0], length=timedelta(minutes=5), reason="test")
        assert not any(name == "restrictChatMember" for _, name, _ in telegram.calls)


async def test_an_administrator_is_not_restricted_and_it_is_said_why(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, intake):
        await telegram.say("hello", author="mia", roles=("boss",))
        await intake.texts(1)
        assert intake.messages[0].author.roles == ("administrator", "boss")
        with pytest.raises(PermanentError, match="no administrators"):
            await enforcer.timeout(intake.messages[0], length=timedelta(minutes=5), reason="test")


async def test_old_messages_are_deleted_alone(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, intake):
        message = await said(telegram, intake)
        await enforcer.delete(msgspec.structs.replace(message, sent_at=now() - timedelta(days=3)), reason="test")
        await enforcer.delete(msgspec.structs.replace(message, sent_at=None), reason="test")
        assert [name for _, name, _ in telegram.calls if name.startswith("delete")][1:] == ["deleteMessage"] * 2
        assert telegram.texts() == []


async def test_nothing_is_deleted_in_the_supergroup_that_a_group_became(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, intake):
        await telegram.say("in the old group", channel="basic")
        await intake.texts(1)
        await telegram.upgrade("basic")
        with pytest.raises(PermanentError, match="supergroup -100"):
            await enforcer.delete(intake.messages[0], reason="test")


async def test_alerts_follow_the_moderators_into_their_supergroup(telegram: TelegramPlatform) -> None:
    telegram.chats["moderators"] |= {"id": -4000009, "type": "group"}
    async with acting(telegram) as (enforcer, intake):
        await telegram.upgrade("moderators")
        record = msgspec.structs.replace(make_record(make_message("bad"), Verdict.BLOCK), seq=3)
        assert await enforcer.alert(record)
        await telegram.press(3, approve=True)
        await intake.until(lambda: bool(intake.resolved))
        await telegram.say("among moderators", channel="moderators")
        await telegram.say("hello")
        assert await intake.texts(1) == ["hello"]
        assert str(telegram.chats["moderators"]["id"]) in intake.problems["chat -4000009"]


async def test_a_press_elsewhere_changes_nothing(telegram: TelegramPlatform) -> None:
    async with connected(telegram) as (_, intake):
        query = {"id": "1", "from": telegram.user("eve"), "chat_instance": "1", "data": "chat-moderator:1:approve"}
        elsewhere = {"message_id": 1, "date": 1, "chat": telegram.chats["general"], "text": "record 1"}
        await telegram.update(callback_query=query | {"message": elsewhere})
        await telegram.update(callback_query=query | {"data": "other", "message": elsewhere})
        await telegram.update(callback_query=query)
        await telegram.say("hello")
        await intake.texts(1)
        assert intake.resolved == []


async def test_the_operator_learns_that_the_bot_was_removed(telegram: TelegramPlatform) -> None:
    async with connected(telegram) as (_, intake):
        await telegram.expel()
        await telegram.say("elsewhere", channel="random")
        await intake.texts(1)
        assert "add it again" in intake.problems["chat -1001000000001"]
        await telegram.expel(back=True)
        await telegram.say("hello")
        await intake.texts(2)
        assert intake.problems["chat -1001000000001"] == ""


async def test_after_more_than_a_day_the_gap_is_counted(telegram: TelegramPlatform) -> None:
    intake = JournalIntake("telegram")
    intake.bookmarks["read"] = str(now().timestamp() - 90_000)
    async with connected(telegram, intake):
        assert len(intake.gaps) == 1


async def test_an_author_who_never_spoke_to_the_bot_is_left_alone(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, _):
        with pytest.raises(SkippedError):
            await enforcer.reply(make_message(author=Author("999", "zed")), text="removed")


async def test_a_refused_token_keeps_actions_for_later(telegram: TelegramPlatform) -> None:
    async with acting(telegram) as (enforcer, intake):
        message = await said(telegram, intake)
        telegram.revoke()
        with pytest.raises(TransientError) as raised:
            await enforcer.delete(message, reason="test")
        assert raised.value.retry_after == timedelta(minutes=5)
        assert TOKEN not in str(raised.value)


async def test_long_texts_and_emoji_are_shown_again_whole(telegram: TelegramPlatform) -> None:
    text = "\N{PILE OF POO}" * 4000
    async with acting(telegram) as (enforcer, intake):
        message = await said(telegram, intake, text)
        await enforcer.delete(message, reason="test")
        await enforcer.undo(message, Outcome("delete", OutcomeState.DONE))
        assert "".join(telegram.texts()) == f"ada wrote:\n{text}"
        assert await enforcer.alert(make_record(message, Verdict.BLOCK, label="insult"))


@given(st.text(), st.integers(0, 50))
def test_a_cut_text_is_its_beginning_and_short_enough(text: str, most: int) -> None:
    part = cut(text, most)
    assert text.startswith(part)
    assert len(part.encode("utf-16-le")) <= 2 * most
    assert part == text or len(part) >= most // 2


def test_an_alert_fits_whatever_it_quotes() -> None:
    message = make_message("\N{PILE OF POO}" * 9000, author=Author("1", "n" * 5000))
    assert len(alert_of(make_record(message, Verdict.BLOCK)).encode("utf-16-le")) <= 2 * 4096


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"token": "x"}, "token"),
        ({"token": ""}, "token"),
        ({"webhook": "http://chat.example.com", "webhook_secret": SECRET}, "webhook"),
        ({"webhook": "https://chat.example.com"}, "webhook_secret"),
        ({"webhook_secret": "a b"}, "webhook_secret"),
        ({"moderators_channel": "Moderators"}, "moderators_channel"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Telegram(msgspec.convert({"token": TOKEN} | settings, Config))
    assert raised.value.path == key


@pytest.mark.parametrize("body", [{}, {"update_id": "x"}, {"message": 5}, {"update_id": None}])
async def test_a_body_that_is_no_update_is_refused(telegram: TelegramPlatform, body: dict[str, Any]) -> None:
    source = Telegram(msgspec.convert(telegram.settings | {"webhook_secret": SECRET}, Config))
    with pytest.raises(PermanentError):
        await source.receive(WebhookCall(headers(SECRET), json.dumps(body).encode(), now()), JournalIntake())
    await source.aclose()


@pytest.mark.parametrize("message", [5, {"date": "x"}, {"message_id": 1, "chat": []}, {"poll": {}}])
async def test_an_update_that_cannot_be_read_is_taken_and_counted(telegram: TelegramPlatform, message: Any) -> None:
    source = Telegram(msgspec.convert(telegram.settings | {"webhook_secret": SECRET}, Config))
    body, intake = json.dumps({"update_id": 1, "message": message}).encode(), JournalIntake()
    assert (await source.receive(WebhookCall(headers(SECRET), body, now()), intake)).status == 200
    assert (len(intake.gaps), intake.messages) == (1, [])
    await source.aclose()


async def test_without_a_secret_no_webhook_is_taken(telegram: TelegramPlatform) -> None:
    source = Telegram(msgspec.convert(telegram.settings, Config))
    with pytest.raises(RefusedError):
        await source.receive(WebhookCall(headers(""), b"{}", now()), JournalIntake())
    await source.aclose()


async def test_init_says_what_is_missing(telegram: TelegramPlatform) -> None:
    answers = {"token": TOKEN, "api": telegram.url, "moderators_channel": telegram.settings["moderators_channel"]}
    assert await TelegramSetup().examine(answers) == []
    telegram.reads_all = False
    (privacy, chat) = await TelegramSetup().examine(answers | {"moderators_channel": "-1001"})
    assert "/setprivacy" in privacy.cure
    assert "-1001" in chat.problem
    for token in ("nonsense", f"{TOKEN}x"):
        (refused,) = await TelegramSetup().examine(answers | {"token": token})
        assert "refuses the token" in refused.problem
        assert token not in refused.problem
    with pytest.raises(TransientError):
        await TelegramSetup().examine(answers | {"api": "http://127.0.0.1:9"})
