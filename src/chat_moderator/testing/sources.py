"""What every platform's source does: plain async functions named as sentences, each given a local server to play with.

What a platform cannot do is left out of its `can`; a check that needs it then looks that the source says so.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Protocol

import msgspec
import pytest

from chat_moderator import registry
from chat_moderator.errors import PermanentError, SkippedError, TransientError
from chat_moderator.protocols import Enforcer, Intake, Source, WebhookSource
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.factories import make_record
from chat_moderator.types import Message, Outcome, OutcomeState, Verdict, now

CONNECTS, TIMEOUT, LIMITS, REPLAYS, HISTORY, BOTS, ROLES, PRIVATE, PRESSES, ROOMS, REVOKES, FINAL, LASTING = (
    "connects",  # keeps a connection that can be lost; others are called
    "timeout",  # can keep an author from writing, and undo it
    "limits",  # answers 429 with a time to wait, and 5xx
    "replays",  # hands over what was said while the connection was lost
    "history",  # hands over what was said while the source did not run
    "bots",  # marks bots as such
    "roles",  # tells an author's roles
    "private",  # tells authors privately, who may refuse
    "presses",  # has buttons or reactions
    "rooms",  # permissions differ by channel
    "revokes",  # refuses a token
    "final",  # lets nobody change what was written
    "lasting",  # and takes nothing back that was shown: nothing can be deleted or held
)
"""What a platform may have, the words of `Platform.can`."""


class Platform(Protocol):
    """A local server that speaks a platform's protocol, and what people do there.

    Attributes:
        name: as registered.
        settings: the table of `[[sources]]` that leads to it, without `type`; `moderators_channel` among it.
        can: what of the words above it has.
        early: calls that came before the time that a 429 had named; has to stay empty.
        complaints: calls that the protocol forbids; has to stay empty.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    @property
    def can(self) -> frozenset[str]: ...

    @property
    def early(self) -> list[str]: ...

    @property
    def complaints(self) -> list[str]: ...

    async def attach(self, source: WebhookSource | None, intake: Intake | None) -> None:
        """Sends webhooks there from now on, or nowhere; only called where the source takes webhooks."""

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
    ) -> str:
        """Somebody writes; returns the platform's id. `own` is the connection's own account."""

    async def say_nothing(self) -> None:
        """Somebody sends something without text: an image, a sticker, a join."""

    async def edit(self, identifier: str, text: str) -> None:
        """The author changes it."""

    async def repeat(self) -> None:
        """The latest event is delivered once more, where the platform does that."""

    async def press(self, seq: int, *, approve: bool) -> None:
        """A moderator answers the alert of a record."""

    async def disconnect(self) -> None:
        """The connection breaks; what is said afterwards finds nobody until it is back."""

    def texts(self, channel: str = "general") -> list[str]:
        """What people see in a channel, in order."""

    def told(self, author: str = "ada") -> list[str]:
        """What only an author sees."""

    def alerts(self) -> list[str]:
        """What the moderators see."""

    def timed_out(self) -> list[str]:
        """The names of authors who may not write now."""

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        """The next acting call is answered so."""

    def refuse_private(self) -> None:
        """Authors take no private messages from now on."""

    def forbid(self) -> None:
        """The connection's account loses all it needs to act."""

    def revoke(self) -> None:
        """The token is worth nothing from now on."""


Check = Callable[[Platform], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(
    platform: Platform, intake: JournalIntake | None = None, **settings: Any
) -> AsyncIterator[tuple[Source, JournalIntake]]:
    """The platform's source, running and connected."""
    intake = intake or JournalIntake(platform.name)
    kind, config = registry.configure("source", platform.name, platform.settings | settings, path="sources[0]")
    source: Source = kind(config)
    ups = intake.ups
    running = asyncio.create_task(source.run(intake))
    waiting = asyncio.create_task(intake.until(lambda: intake.ups > ups))
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if not waiting.done():
            waiting.cancel()
            await running
            raise AssertionError("the source ended by itself")
        await waiting
        if isinstance(source, WebhookSource):
            await platform.attach(source, intake)
        yield source, intake
    finally:
        if isinstance(source, WebhookSource):
            await platform.attach(None, None)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await source.aclose()
    assert platform.early == []
    assert platform.complaints == []


async def hands_over_what_people_write(platform: Platform) -> None:
    """In order, with who, where and when."""
    async with connected(platform) as (_, intake):
        before = now()
        first = await platform.say("hello there")
        await platform.say("and hello to you", author="bea", reply_to=first)
        await platform.say("elsewhere", channel="random")
        await intake.texts(3)
        greeting, answer, other = sorted(intake.messages, key=lambda message: message.sent_at or before)
        assert [greeting.text, answer.text, other.text] == ["hello there", "and hello to you", "elsewhere"]
        assert {message.platform for message in intake.messages} == {platform.name}
        assert (greeting.author.name, answer.author.name) == ("ada", "bea")
        assert greeting.author.id
        assert greeting.author.id == other.author.id != answer.author.id
        assert greeting.channel == answer.channel != other.channel
        assert len({message.id for message in intake.messages}) == 3
        assert greeting.sent_at is not None
        assert abs(greeting.sent_at - before) < timedelta(minutes=1)
        assert answer.reply_to in {None, greeting.id}


async def takes_any_text(platform: Platform) -> None:
    """Emoji, long texts, right-to-left and odd names; what has no text is no message."""
    texts = ("\N{PILE OF POO}" * 3, "x" * 400, "\u05e9\u05dc\u05d5\u05dd \u202eolleh", "<b>&amp; @everyone *x* </b>")
    async with connected(platform) as (_, intake):
        for text in texts:
            await platform.say(text, author="\u05d3\u05d5\u05d3")
        await platform.say_nothing()
        await platform.say("the last")
        assert await intake.texts(5) == [*texts, "the last"]


async def hands_over_an_edit_as_a_later_revision(platform: Platform) -> None:
    """The same id, a revision that grows, and the same key when the event comes again."""
    if FINAL in platform.can:
        return
    async with connected(platform) as (_, intake):
        identifier = await platform.say("hello")
        await intake.texts(1)
        for number, text in enumerate(("you idiot", "you utter idiot"), start=2):
            await platform.edit(identifier, text)
            await intake.texts(number)
            await platform.repeat()
        await platform.say("the last")
        await intake.texts(4)
        first, second, third, _ = intake.messages
        assert [first.text, second.text, third.text] == ["hello", "you idiot", "you utter idiot"]
        assert first.id == second.id == third.id
        assert first.channel == second.channel == third.channel
        assert first.revision < second.revision < third.revision


async def hands_over_once_what_is_delivered_twice(platform: Platform) -> None:
    """A redelivered event has the key that it had."""
    async with connected(platform) as (_, intake):
        await platform.say("hello")
        await platform.repeat()
        await platform.repeat()
        await platform.say("the last")
        assert await intake.texts(2) == ["hello", "the last"]


async def passes_over_its_own_words_and_bots(platform: Platform) -> None:
    """The moderators' channel too."""
    async with connected(platform) as (_, intake):
        await platform.say("said by itself", own=True)
        await platform.say("in the moderators' channel", channel="moderators")
        if BOTS in platform.can:
            await platform.say("said by a bot", author="beep", bot=True)
        await platform.say("said by ada")
        assert await intake.texts(1) == ["said by ada"]


async def reads_other_bots_when_told_to(platform: Platform) -> None:
    """Never itself."""
    async with connected(platform, ignore_bots=False) as (_, intake):
        await platform.say("said by itself", own=True)
        await platform.say("said by a bot", author="beep", bot=BOTS in platform.can)
        await platform.say("said by ada")
        assert await intake.texts(2) == ["said by a bot", "said by ada"]


async def passes_over_whom_the_operator_exempts(platform: Platform) -> None:
    """Roles where the platform tells them, channels and authors."""
    exempt: dict[str, Any] = {"exempt_roles": ["moderator"], "exempt_channels": ["random"], "exempt_authors": ["bea"]}
    async with connected(platform, **exempt) as (_, intake):
        await platform.say("in random", channel="random")
        await platform.say("said by bea", author="bea")
        if ROLES in platform.can:
            await platform.say("said by a moderator", author="mia", roles=("member", "moderator"))
        await platform.say("said by ada", roles=("member",) if ROLES in platform.can else ())
        assert await intake.texts(1) == ["said by ada"]
        if ROLES in platform.can:
            assert "member" in intake.messages[0].author.roles


async def comes_back_after_a_lost_connection(platform: Platform) -> None:
    """Nothing is lost or doubled where the platform can replay; where it cannot, the gap is counted."""
    async with connected(platform) as (_, intake):
        await platform.say("before")
        await intake.texts(1)
        ups = intake.ups
        await platform.disconnect()
        await platform.say("meanwhile")
        if CONNECTS in platform.can:
            await intake.until(lambda: intake.ups > ups)
        await platform.say("after")
        if REPLAYS in platform.can:
            assert await intake.texts(3) == ["before", "meanwhile", "after"]
            assert intake.gaps == []
        else:
            await intake.until(lambda: intake.messages[-1].text == "after" and bool(intake.gaps))


async def catches_up_after_a_restart(platform: Platform) -> None:
    """What was said while it did not run is read where the platform keeps it; else the gap is counted."""
    intake = JournalIntake(platform.name)
    async with connected(platform, intake):
        await platform.say("before")
        await intake.texts(1)
    await platform.say("meanwhile")
    async with connected(platform, intake):
        await platform.say("after")
        if HISTORY in platform.can:
            await intake.texts(3)
            assert {message.text for message in intake.messages} == {"before", "meanwhile", "after"}
        else:
            await intake.until(lambda: intake.messages[-1].text == "after" and bool(intake.gaps))


async def deletes_and_counts_already_gone_as_success(platform: Platform) -> None:
    """Twice is the same as once, an edited one goes too, and the neighbours stay; or it is left undone and said so."""
    async with acting(platform) as (enforcer, intake):
        if LASTING in platform.can:
            message = await said(platform, intake)
            with pytest.raises(SkippedError):
                await enforcer.delete(message, reason="test")
            assert platform.texts() == ["hello"]
            return
        identifier = await platform.say("delete me")
        await platform.say("keep me")
        if FINAL not in platform.can:
            await platform.edit(identifier, "delete me now")
        await intake.texts(2 if FINAL in platform.can else 3)
        for message in intake.messages:
            if message.text.startswith("delete"):
                await enforcer.delete(message, reason="test")
        assert platform.texts() == ["keep me"]


async def deletes_many_at_once(platform: Platform) -> None:
    """Thirty deletions that come together are all done."""
    if LASTING in platform.can:
        return
    async with acting(platform) as (enforcer, intake):
        for number in range(30):
            await platform.say(f"message {number}")
        await platform.say("keep me")
        await intake.texts(31)
        await asyncio.gather(*(enforcer.delete(each, reason="test") for each in intake.messages[:-1]))
        assert platform.texts() == ["keep me"]


async def tells_the_author(platform: Platform) -> None:
    """Privately where it can; an author who refuses private messages is skipped."""
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake)
        await enforcer.reply(message, text="Your message was removed: insult.")
        seen = platform.told() if PRIVATE in platform.can else platform.texts()
        assert "Your message was removed: insult." in seen[-1]
        if PRIVATE in platform.can:
            assert not any("removed" in text for text in platform.texts())
            platform.refuse_private()
            with pytest.raises(SkippedError):
                await enforcer.reply(await said(platform, intake), text="Your message was removed.")


async def times_out_and_takes_it_back(platform: Platform) -> None:
    """Or says that the platform cannot."""
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake)
        if TIMEOUT not in platform.can:
            with pytest.raises(PermanentError):
                await enforcer.timeout(message, length=timedelta(minutes=10), reason="test")
            return
        await enforcer.timeout(message, length=timedelta(minutes=10), reason="test")
        await enforcer.timeout(message, length=timedelta(minutes=10), reason="test")
        assert platform.timed_out() == ["ada"]
        await enforcer.undo(message, Outcome("timeout", OutcomeState.DONE))
        assert platform.timed_out() == []


async def releases_what_was_held(platform: Platform) -> None:
    """What was taken out of sight is seen again with its author's name, once; or it says that it cannot."""
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake, "let me through")
        if LASTING in platform.can:
            with pytest.raises(SkippedError):
                await enforcer.release(message)
            assert platform.texts() == ["let me through"]
            return
        await enforcer.delete(message, reason="test")
        assert platform.texts() == []
        try:
            await enforcer.release(message)
        except PermanentError:
            assert platform.texts() == []
            return
        await enforcer.release(message)
        (shown,) = platform.texts()
        assert "let me through" in shown


async def alerts_moderators_and_takes_their_word(platform: Platform) -> None:
    """Who, what, why; the answer comes back through the source."""
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake, "you idiot")
        for seq, verdict, approve in ((7, Verdict.BLOCK, True), (8, Verdict.HOLD, False)):
            record = msgspec.structs.replace(make_record(message, verdict, label="insult"), seq=seq)
            assert await enforcer.alert(record)
            alert = platform.alerts()[-1]
            assert all(part in alert for part in ("you idiot", "ada", "insult", str(seq)))
            if PRESSES in platform.can:
                await platform.press(seq, approve=approve)
                await intake.until(lambda seq=seq: any(word[0] == seq for word in intake.resolved))  # type: ignore[misc]
        if PRESSES in platform.can:
            assert [(seq, approve) for seq, approve, _ in intake.resolved] == [(7, True), (8, False)]
            assert all("mia" in moderator for *_, moderator in intake.resolved)


async def waits_as_long_as_it_is_told(platform: Platform) -> None:
    """After a 429 nothing is called before its time: the source waits, or gives the time to its caller."""
    if LIMITS not in platform.can:
        return
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake)
        platform.fail(429, retry_after=0.4)
        await patiently(lambda: enforcer.delete(message, reason="test"))
        assert platform.texts() == []


async def survives_a_fault_of_the_platform(platform: Platform) -> None:
    """A 5xx is transient."""
    if LIMITS not in platform.can:
        return
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake)
        platform.fail(503)
        await patiently(lambda: enforcer.delete(message, reason="test"))
        assert platform.texts() == []


async def says_which_permission_is_missing(platform: Platform) -> None:
    """An action that it may not take is a PermanentError, and the source goes on reading."""
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake)
        platform.forbid()
        if LASTING in platform.can:
            acting_call = enforcer.timeout(message, length=timedelta(minutes=10), reason="test")
        else:
            acting_call = enforcer.delete(message, reason="test")
        with pytest.raises(PermanentError, match=r"[Pp]ermission|scope|power|operator|moderator|admin"):
            await acting_call
        await said(platform, intake, "still read")


async def says_that_its_token_is_refused(platform: Platform) -> None:
    """The operator must act, so it is a PermanentError; it holds no token."""
    if REVOKES not in platform.can:
        return
    platform.revoke()
    with pytest.raises(PermanentError) as raised:
        async with connected(platform):
            pass
    secrets = [value for key, value in platform.settings.items() if "token" in key or "secret" in key]
    assert not any(str(secret) in str(raised.value) for secret in secrets)


@contextlib.asynccontextmanager
async def acting(platform: Platform) -> AsyncIterator[tuple[Enforcer, JournalIntake]]:
    """The platform's source as an enforcer."""
    async with connected(platform) as (source, intake):
        assert isinstance(source, Enforcer)
        yield source, intake


async def said(platform: Platform, intake: JournalIntake, text: str = "hello") -> Message:
    """A message that was written and read."""
    count = len(intake.messages) + 1
    await platform.say(text)
    await intake.texts(count)
    return intake.messages[-1]


async def patiently(call: Callable[[], Awaitable[None]]) -> None:
    """Calls as the outbox does: again after a TransientError, not before its time."""
    for _ in range(5):
        try:
            await call()
        except TransientError as problem:
            wait = problem.retry_after.total_seconds() if problem.retry_after is not None else 0.1
            await asyncio.sleep(wait)
        else:
            return
    raise AssertionError("it was never done")


CHECKS: tuple[Check, ...] = (
    hands_over_what_people_write,
    takes_any_text,
    hands_over_an_edit_as_a_later_revision,
    hands_over_once_what_is_delivered_twice,
    passes_over_its_own_words_and_bots,
    reads_other_bots_when_told_to,
    passes_over_whom_the_operator_exempts,
    comes_back_after_a_lost_connection,
    catches_up_after_a_restart,
    deletes_and_counts_already_gone_as_success,
    deletes_many_at_once,
    tells_the_author,
    times_out_and_takes_it_back,
    releases_what_was_held,
    alerts_moderators_and_takes_their_word,
    waits_as_long_as_it_is_told,
    survives_a_fault_of_the_platform,
    says_which_permission_is_missing,
    says_that_its_token_is_refused,
)
"""The contract of a platform."""
