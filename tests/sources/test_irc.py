"""IRC beyond the contract: names, numbers, what stands against joining, and what its servers have or lack."""

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_moderator.errors import ConfigError, PermanentError, SkippedError, TransientError
from chat_moderator.sources.irc import Config, Irc
from chat_moderator.sources.irc_enforcer import alert_of
from chat_moderator.sources.irc_limits import Pace
from chat_moderator.sources.irc_lines import cut, made_id, mask_of, moment, pieces, unbroken, written
from chat_moderator.sources.irc_setup import IrcSetup
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.testing.sources import connected, said
from chat_moderator.types import Author, Message, Outcome, OutcomeState, Verdict, now
from tests.docs.blocks import ROOT
from tests.servers.irc import PASSWORD, IrcPlatform, Person, irc_server, ircd, person
from tests.servers.irc_modern import ACCOUNT, CHANNEL, MODERATORS, SECRET, ModernIrc, modern_irc
from tests.servers.ngircd import ngircd

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def irc() -> AsyncIterator[IrcPlatform]:
    async with irc_server() as server:
        yield server


@pytest.fixture
async def modern() -> AsyncIterator[ModernIrc]:
    async with modern_irc() as server:
        yield server


class Modern:
    """What `connected` needs of a platform, for the small server."""

    name = "irc"
    early: list[str] = []
    complaints: list[str] = []

    def __init__(self, server: ModernIrc) -> None:
        self.settings: dict[str, Any] = {
            "server": f"irc://127.0.0.1:{server.port}",
            "nick": "moderator",
            "channels": [CHANNEL],
            "moderators_channel": MODERATORS,
            "rate": 10_000.0,
        }


def source(table: dict[str, Any], **more: Any) -> Irc:
    return Irc(msgspec.convert(table | more, Config))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("hello", "hello"),
        ("\x01ACTION slaps you\x01", "slaps you"),
        ("\x01ACTION\x01", ""),
        ("\x01VERSION\x01", ""),
        ("\x02\x02", ""),
        ("you \x0304,12id\x03iot\x0f", "you idiot"),
        ("\x04ff0000you\x16 idiot", "you idiot"),
        ("\x033 o'clock", "o'clock"),
        ("  spaced  ", "spaced"),
    ],
)
def test_what_people_read(line: str, text: str) -> None:
    assert written(line) == text


@settings(deadline=None)
@given(st.text(), st.integers(8, 500))
def test_a_text_is_cut_between_characters(text: str, size: int) -> None:
    short = cut(text, size)
    assert len(short.encode(errors="replace")) <= size
    assert short == text or short.endswith("…")


@settings(deadline=None)
@given(st.text(), st.integers(8, 60), st.integers(1, 4))
def test_pieces_fit_into_lines(text: str, size: int, most: int) -> None:
    parts = pieces(text, size, most)
    assert len(parts) <= most
    assert all(len(part.encode(errors="replace")) <= size for part in parts)
    assert not any(character in part for part in parts for character in "\r\n\0")
    if not parts or not parts[-1].endswith("…"):
        assert "".join("".join(parts).split()) == "".join(unbroken(text).split())


def test_names_are_made_of_what_the_server_tells() -> None:
    at = now()
    first = made_id("#a", "ada!a@b", at, "hi", 1)
    assert first == made_id("#a", "ada!a@b", at, "hi", 1)
    assert first != made_id("#a", "ada!a@b", at, "hi", 2)
    assert mask_of("~ada@2001:db8::1") == "*!*ada@2001:db8::1"
    assert moment("2026-01-02T03:04:05.678Z") is not None
    assert moment("yesterday") is moment(None) is moment("2026-01-02") is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"server": "irc.example.org"}, "server: an address such as ircs"),
        ({"server": "https://irc.example.org"}, "server: an address"),
        ({"server": "irc://127.0.0.1:port"}, "server: an address"),
        ({"nick": "a b"}, "nick: 'a b' is no nick"),
        ({"nick": "1st"}, "nick: '1st' is no nick"),
        ({"channels": []}, "channels: the name of at least one channel"),
        ({"channels": "general"}, "channels: 'general' is no name of a channel"),
        ({"channels": ["#a,#b"]}, "channels: '#a,#b' is no name"),
        ({"moderators_channel": "mods"}, "moderators_channel: 'mods' is no name"),
        ({"rate": 0.0}, "rate: a number above 0"),
        ({"server": "ircs://localhost", "certificate_authority": "/nowhere.pem"}, "certificate_authority: /nowhere"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        source({"server": "irc://127.0.0.1", "nick": "moderator", "channels": ["#general"]}, **settings)


@pytest.mark.parametrize("page", ["moderator.toml", "docs/guides/irc.md"])
def test_the_documented_settings_make_a_connection(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    found = re.search(r'(#?)\[\[sources\]\]\n#?type = "irc"\n(.*?)\n\n', text, re.DOTALL)
    assert found is not None
    table = tomllib.loads(re.sub(f"^{found[1]}", "", found[2], flags=re.MULTILINE))
    table["channels"] = table["channels"] or ["#general"]
    if page == "moderator.toml":
        assert set(table) - {"type"} == {field.name for field in msgspec.structs.fields(Config)}
    assert source(table)


def test_nothing_in_a_message_looks_like_a_part_of_its_alert() -> None:
    message = make_message("you \u202eidiot\r\nQUIT | record 9: !undo 9" + "\N{PILE OF POO}" * 300)
    record = msgspec.structs.replace(make_record(message, Verdict.BLOCK, label="insult"), seq=7)
    alert = alert_of(record, 400)
    assert len(alert.encode()) <= 400
    assert "\n" not in alert
    assert "\u202e" not in alert
    assert alert.index("!undo 7 or !confirm 7") < alert.index("you idiot")


async def test_a_burst_goes_at_once_and_what_is_too_much_is_told_when_to_come_back() -> None:
    pace = Pace(0.5, 5)
    begun = asyncio.get_running_loop().time()
    for _ in range(5):
        await pace.wait(1)
    assert asyncio.get_running_loop().time() - begun < 1.0
    with pytest.raises(TransientError) as raised:
        await pace.wait(12)
    assert raised.value.retry_after is not None
    assert timedelta() < raised.value.retry_after < timedelta(seconds=10)


async def test_reads_actions_notices_and_colours(irc: IrcPlatform) -> None:
    async with connected(irc) as (_, intake):
        await irc.say("\x01ACTION waves\x01")
        await irc.say("listen", command="NOTICE")
        await irc.say("\x0304red\x03 words")
        assert await intake.texts(3) == ["waves", "listen", "red words"]
        assert {message.author.id for message in intake.messages} == {"ada@127.0.0.1"}
        assert {message.community for message in intake.messages} == {"TestNet"}
        assert {message.channel for message in intake.messages} == {"#general"}


async def test_roles_are_the_modes_of_the_channel(irc: IrcPlatform) -> None:
    async with connected(irc) as (_, intake):
        for mode in "+v", "+h", "+o":
            irc.member("ada", "general")
            irc.owner.collect(f"MODE #general {mode} ada")
            await irc.say(f"with {mode}")
        await intake.texts(3)
        assert [message.author.roles for message in intake.messages] == [
            ("member", "voice"),
            ("member", "halfop", "voice", "moderator"),
            ("member", "op", "halfop", "voice", "moderator"),
        ]


async def test_a_timeout_ends_by_itself_and_after_a_restart(irc: IrcPlatform) -> None:
    intake = JournalIntake("irc")
    async with connected(irc, intake) as (enforcer, _):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        await enforcer.timeout(message, length=timedelta(seconds=0.3), reason="test")
        await until(lambda: irc.timed_out() == [])
        await enforcer.timeout(message, length=timedelta(seconds=0.5), reason="test")
        assert irc.timed_out() == ["ada"]
        assert await irc.say("may I?") == ""
    async with connected(irc, intake):
        await until(lambda: irc.timed_out() == [])
        assert await irc.say("thanks")


async def test_a_ban_of_somebody_else_is_left_alone(irc: IrcPlatform) -> None:
    async with connected(irc) as (enforcer, intake):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        irc.owner.collect("MODE #general +b m:*!*ada@127.0.0.1")
        await enforcer.timeout(message, length=timedelta(milliseconds=1), reason="test")
        await enforcer.undo(message, Outcome("timeout", OutcomeState.DONE))
        assert irc.timed_out() == ["ada"]


async def test_who_has_voice_cannot_be_silenced_and_that_is_said(irc: IrcPlatform) -> None:
    async with connected(irc) as (enforcer, intake):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        irc.owner.collect("MODE #general +v ada")
        await said(irc, intake, "with voice")
        with pytest.raises(PermanentError, match="IRC channel #general: ada has voice"):
            await enforcer.timeout(message, length=MINUTE, reason="test")


async def test_acts_on_the_author_and_not_on_who_took_the_nick(irc: IrcPlatform) -> None:
    async with connected(irc, kick=True) as (enforcer, intake):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        ada, bea = irc.member("ada", "general"), irc.member("bea", "general")
        ada.collect("NICK ada2")
        bea.collect("NICK ada")
        await irc.say("I am not ada", author="bea")
        await intake.texts(2)
        try:
            await enforcer.reply(message, text="to whom it is meant")
            assert [line.params[1] for line in ada.heard("NOTICE", "ada2")] == ["to whom it is meant"]
            assert bea.heard("NOTICE", "ada") == []
            await enforcer.delete(message, reason="test")
            assert irc.kicked() == ["ada2"]
            await enforcer.delete(message, reason="test")  # gone already
            assert irc.kicked() == ["ada2"]
            with pytest.raises(PermanentError, match="may join again"):
                await enforcer.undo(message, Outcome("delete", OutcomeState.DONE))
        finally:
            bea.collect("NICK bea")
            ada.collect("NICK ada")
            ada.channels.discard("#general")


async def test_nobody_makes_himself_a_bot(irc: IrcPlatform) -> None:
    async with connected(irc) as (_, intake):
        await irc.say("beep", tags="@+draft/bot;+bot=1 ")
        assert await intake.texts(1) == ["beep"]


async def test_who_left_is_told_nothing(irc: IrcPlatform) -> None:
    async with connected(irc) as (enforcer, intake):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        gone = msgspec.structs.replace(message, author=Author("nobody@example.org", "nobody", ()))
        with pytest.raises(SkippedError, match="has left"):
            await enforcer.reply(gone, text="hello")
        person("ada").part("#general")
        await enforcer.reply(message, text="still here")
        assert irc.told() == ["still here"]


async def test_a_long_text_comes_whole_and_nothing_in_it_is_a_command(irc: IrcPlatform) -> None:
    async with connected(irc) as (enforcer, intake):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        long = "\u05e9\u05dc\u05d5\u05dd " * 70
        await enforcer.reply(message, text=f"{long}\r\nQUIT :gone")
        told = irc.told()
        assert len(told) == 2
        assert " ".join(told).split() == [*long.split(), "QUIT", ":gone"]
        assert "\ufffd" not in "".join(told)
        await said(irc, intake, "still read")


async def test_only_operators_of_the_moderators_channel_are_obeyed(irc: IrcPlatform) -> None:
    async with connected(irc) as (_, intake):
        await irc.say("!undo 7", author="eve", channel="moderators")
        await irc.say("!undo 8", roles=("moderator",), author="eve")
        await irc.say("!undo 9", author="mia", channel="moderators", command="NOTICE")
        await irc.press(10, approve=False)
        await intake.until(lambda: bool(intake.resolved))
        assert [(seq, approve) for seq, approve, _ in intake.resolved] == [(10, False)]
        assert "mia (mia@127.0.0.1)" in intake.resolved[0][2]
        await until(lambda: "Denied by mia" in irc.texts("moderators")[-1])


async def test_who_takes_the_nick_of_the_connection_is_judged(irc: IrcPlatform) -> None:
    squatter = Person(irc.nick, ircd().people)
    squatter.join("#general")
    async with connected(irc) as (_, intake):
        squatter.say("#general", "I am not the moderator")
        assert await intake.texts(1) == ["I am not the moderator"]
    squatter.close()


async def test_a_nick_in_use_is_said_and_taken_once_it_is_free(irc: IrcPlatform) -> None:
    squatter = Person(irc.nick, ircd().people)
    squatter.join("#general")
    async with connected(irc) as (_, intake):
        await until(lambda: bool(intake.problems.get("nick")))
        assert f"the nick {irc.nick} is in use, so we are {irc.nick}_" in intake.problems["nick"]
        squatter.close()
        await until(lambda: not intake.problems["nick"])
        await said(irc, intake)


async def test_what_stands_against_joining_is_said_and_the_others_go_on(irc: IrcPlatform) -> None:
    owner, names = irc.owner, ("#banned", "#locked", "#invited", "#full", "#" + "x" * 80)
    for name in names[:4]:
        owner.join(name)
    owner.collect("MODE #banned +b *!*@127.0.0.1", "MODE #locked +k secret", "MODE #invited +i", "MODE #full +l 1")
    try:
        channels = ["#general", "#locked wrong", *(name for name in names if name != "#locked")]
        async with connected(irc, channels=channels) as (_, intake):
            await said(irc, intake)
            for name, part in zip(names, ("banned", "KEY", "+i", "full", "name"), strict=True):
                problem = intake.problems[f"channel {name}"]
                assert problem.startswith(f"IRC channel {name} cannot be joined (")
                assert part in problem
        async with connected(irc, channels=["#general", "#locked secret"]) as (_, intake):
            assert not intake.problems.get("channel #locked")
    finally:
        for name in names[:4]:
            owner.part(name)


async def test_a_kick_is_said_and_the_channel_joined_again(irc: IrcPlatform) -> None:
    async with connected(irc) as (_, intake):
        await said(irc, intake)
        irc.owner.collect(f"KICK #general {irc.nick} :away with you")
        await irc.say("missed")
        await irc.say("elsewhere", channel="random")
        await intake.texts(2)
        assert "IRC channel #general: owner kicked us (away with you)" in intake.problems["channel #general"]
        await until(lambda: not intake.problems["channel #general"])
        assert intake.gaps == ["we were not in IRC channel #general for a while"]
        await irc.say("back")
        await intake.texts(3)


async def test_nobody_in_a_channel_is_said(irc: IrcPlatform) -> None:
    async with connected(irc, channels=["#general", "#genreal"]) as (_, intake):
        assert "nobody is there" in intake.problems["empty #genreal"]
        assert not intake.problems.get("empty #general")
        irc.owner.join("#genreal")
        await until(lambda: not intake.problems["empty #genreal"])
        irc.owner.part("#genreal")


async def test_the_right_to_act_may_come_late_and_its_lack_is_shown(irc: IrcPlatform) -> None:
    irc.owner.collect(f"MODE #general -w o:{irc.nick}*!*@*")
    async with connected(irc) as (enforcer, intake):
        assert isinstance(enforcer, Irc)
        message = await said(irc, intake)
        with pytest.raises(TransientError, match="is not yet a channel operator"):
            await enforcer.timeout(message, length=MINUTE, reason="test")
        irc.owner.collect(f"MODE #general +o {irc.nick}")
        await said(irc, intake, "now")
        await enforcer.timeout(message, length=MINUTE, reason="test")
        irc.forbid()
        await irc.say("somebody else", author="bea")
        await intake.texts(3)
        with pytest.raises(PermanentError, match=rf"#general: {irc.nick} is no channel operator there: .*\+o"):
            await enforcer.timeout(intake.messages[-1], length=MINUTE, reason="test")
        assert "no channel operator" in intake.problems["operator #general"]
        irc.owner.collect(f"MODE #general +o {irc.nick}")
        await until(lambda: not intake.problems["operator #general"])


async def test_a_server_that_falls_silent_is_left(irc: IrcPlatform) -> None:
    async with connected(irc, silence=2.0) as (_, intake):
        await said(irc, intake)
        irc.freeze()
        await intake.until(lambda: intake.ups > 1)
        await intake.until(lambda: bool(intake.gaps))
        assert "silent for 2 s" in intake.gaps[0]
        await said(irc, intake, "back")


async def test_tls_with_a_certificate_that_is_to_be_trusted(irc: IrcPlatform) -> None:
    settings = irc.settings | {"server": f"ircs://127.0.0.1:{ircd().secure}", "server_password": ""}
    platform = Modern(ModernIrc())
    platform.settings = settings
    authority = str(ircd().directory / "authority.pem")
    async with connected(platform, certificate_authority=authority) as (_, intake):  # type: ignore[arg-type]
        await irc.say("hello")
        await intake.texts(1)
    with pytest.raises(PermanentError, match=r"its certificate is not to be trusted .*certificate_authority"):
        async with connected(platform):  # type: ignore[arg-type]
            pass


async def test_what_a_channel_tells_on_joining_is_read_once_and_is_no_gap(irc: IrcPlatform) -> None:
    irc.owner.collect("MODE #general +H 100:1h")
    intake = JournalIntake("irc")
    async with connected(irc, intake, exempt_channels=["random"]):
        await irc.say("before")
        await intake.texts(1)
        await irc.disconnect()
        await irc.say("meanwhile")
        await intake.until(lambda: intake.ups > 1)
        await irc.say("after")
        assert await intake.texts(3) == ["before", "meanwhile", "after"]
    await irc.say("while it did not run", author="bea")
    async with connected(irc, intake, exempt_channels=["random"]):
        await irc.say("again")
        await intake.texts(5)
        assert [message.text for message in intake.messages[3:]] == ["while it did not run", "again"]
    assert intake.gaps == []


async def test_what_was_said_before_the_first_start_is_not_read(irc: IrcPlatform) -> None:
    irc.owner.collect("MODE #general +H 100:1h")
    await irc.say("long ago")
    async with connected(irc) as (_, intake):
        await said(irc, intake)
        assert intake.gaps == []


async def test_setup_says_what_is_missing(irc: IrcPlatform) -> None:
    answers = {"server": f"irc://127.0.0.1:{irc.port}", "nick": irc.nick, "channels": "#general,#random"}
    answers |= {"moderators_channel": "#moderators", "server_password": PASSWORD}
    assert await IrcSetup().examine(answers) == []
    irc.owner.collect(f"MODE #random -w o:{irc.nick}*!*@*", "MODE #general +b *!*@127.0.0.1")
    general, random = await IrcSetup().examine(answers)
    assert (general.problem.startswith("IRC channel #general cannot be joined"), "+e" in general.cure) == (True, True)
    assert "no channel operator" in random.problem
    assert f"/mode #random +o {irc.nick}" in random.cure
    (refused,) = await IrcSetup().examine(answers | {"server_password": "wrong"})
    assert "server_password" in refused.cure
    (wrong,) = await IrcSetup().examine(answers | {"channels": "general"})
    assert "'general' is no name of a channel" in wrong.problem + wrong.cure
    with pytest.raises(TransientError, match="cannot be reached"):
        await IrcSetup().examine(answers | {"server": "irc://127.0.0.1:9"})


async def test_accounts_are_who_somebody_is_where_the_server_tells_them(modern: ModernIrc) -> None:
    settings = {"account": ACCOUNT, "password": SECRET, "exempt_authors": ["trusted"]}
    async with connected(Modern(modern), **settings) as (_, intake):  # type: ignore[arg-type]
        modern.say("hello", account="ada.lovelace")
        modern.say("by another nick", nick="ada_", account="ada.lovelace")
        modern.say("exempt", nick="bea", account="trusted")
        modern.say("takes her nick", nick="ada")
        await intake.texts(3)
        assert [message.author.id for message in intake.messages] == ["ada.lovelace"] * 2 + ["ada@host.example"]
        assert [message.author.name for message in intake.messages] == ["ada", "ada_", "ada"]
        assert [message.id for message in intake.messages] == [modern.said[index][1] for index in (0, 1, 3)]
        assert intake.messages[0].community == "Modern"
    assert next(line.params for line in modern.lines("AUTHENTICATE")) == ["PLAIN"]


async def test_a_wrong_password_of_the_account_is_said(modern: ModernIrc) -> None:
    with pytest.raises(PermanentError, match="does not let the account moderator in: account and password") as raised:
        async with connected(Modern(modern), account=ACCOUNT, password="guess"):  # type: ignore[arg-type]
            pass
    assert "guess" not in str(raised.value)


async def test_nickserv_is_told_where_there_is_no_sasl(modern: ModernIrc) -> None:
    modern.capabilities = "message-tags server-time"
    async with connected(Modern(modern), account=ACCOUNT, password=SECRET) as (_, intake):  # type: ignore[arg-type]
        assert not intake.problems.get("account")
    async with connected(Modern(modern), account=ACCOUNT, password="guess") as (_, intake):  # type: ignore[arg-type]
        assert "NickServ does not let the account moderator in: Invalid password" in intake.problems["account"]


async def test_chathistory_fills_the_gap_in_order_and_once(modern: ModernIrc) -> None:
    intake = JournalIntake("irc")
    async with connected(Modern(modern), intake):  # type: ignore[arg-type]
        modern.say("before")
        await intake.texts(1)
        modern.lose()
        for number in range(8):
            modern.say(f"meanwhile {number}")
        await intake.until(lambda: intake.ups > 1)
        await modern.until("CHATHISTORY", 3)
        modern.say("after")
        texts = ["before", *(f"meanwhile {number}" for number in range(8)), "after"]
        assert await intake.texts(10) == texts
    modern.say("while it did not run")
    async with connected(Modern(modern), intake):  # type: ignore[arg-type]
        assert await intake.texts(11) == [*texts, "while it did not run"]
    assert intake.gaps == []


async def test_redacts_where_the_server_can(modern: ModernIrc) -> None:
    async with connected(Modern(modern)) as (enforcer, intake):  # type: ignore[arg-type]
        assert isinstance(enforcer, Irc)
        first, second = modern.say("you idiot"), modern.say("odd")
        await intake.texts(2)
        await enforcer.delete(intake.messages[0], reason="test")
        await enforcer.delete(intake.messages[0], reason="test")
        await enforcer.hold(intake.messages[1], reason="test")
        assert modern.redacted == [first, second]
        await enforcer.release(intake.messages[1])
        await enforcer.release(intake.messages[1])
        await enforcer.undo(intake.messages[0], Outcome("delete", OutcomeState.DONE))
        assert [line.params for line in modern.lines("PRIVMSG")] == [
            [CHANNEL, "<ada> odd"],
            [CHANNEL, "<ada> you idiot"],
        ]
        modern.operator = False
        modern.say("another")
        await intake.texts(3)
        with pytest.raises(PermanentError, match="no channel operator"):
            await enforcer.delete(intake.messages[2], reason="test")


async def test_silences_by_a_list_of_its_own_where_the_server_has_one(modern: ModernIrc) -> None:
    async with connected(Modern(modern)) as (enforcer, intake):  # type: ignore[arg-type]
        assert isinstance(enforcer, Irc)
        modern.say("hello", account="ada.lovelace")
        await intake.texts(1)
        message = intake.messages[0]
        await enforcer.timeout(message, length=MINUTE, reason="test")
        await enforcer.timeout(message, length=MINUTE, reason="test")
        assert set(modern.silenced) == {"*!*ada@host.example"}
        modern.silenced = ["*!*ada@host.example"]
        await enforcer.undo(message, Outcome("timeout", OutcomeState.DONE))
        assert modern.silenced == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b":",
        b"@",
        b"@a=\xff\xfe :x!y@z PRIVMSG #general :x",
        b"PRIVMSG",
        b":x PRIVMSG #general",
        b":x!y@z MODE #general +o",
        b":x!y@z KICK",
        b":server 353",
        b":server 005 moderator CHANMODES=x PREFIX= :are",
        b"BATCH",
        b"PRIVMSG #general :from nobody",
        b":server PRIVMSG #general :from a server",
        b"@time=never;msgid= :x!y@z PRIVMSG #elsewhere :x",
    ],
)
async def test_odd_lines_stop_nothing(modern: ModernIrc, line: bytes) -> None:
    async with connected(Modern(modern)) as (_, intake):  # type: ignore[arg-type]
        modern.send(line)
        modern.say("still read")
        assert await intake.texts(1) == ["still read"]


async def test_a_server_that_cannot_be_reached_is_tried_again(irc: IrcPlatform) -> None:
    platform = Modern(ModernIrc())
    for server in ("irc://127.0.0.1:9", f"irc://{'x' * 70}.example"):
        with pytest.raises(TransientError, match="cannot be reached"):
            async with connected(platform, server=server):  # type: ignore[arg-type]
                pass


async def test_acts_without_reading(irc: IrcPlatform) -> None:
    enforcer = source(irc.settings)
    message = Message("~1", "you idiot", platform="irc", channel="#general", author=Author("ada@127.0.0.1", "ada"))
    irc.member("ada", "general")
    try:
        await enforcer.reply(message, text="removed")
        assert irc.told() == ["removed"]
        with pytest.raises(TransientError, match="does not run"):
            await enforcer.timeout(message, length=MINUTE, reason="test")
    finally:
        await enforcer.aclose()


async def test_a_plain_server_without_any_extension() -> None:
    async with ngircd() as server:
        intake = JournalIntake("irc")
        async with connected(server, intake) as (enforcer, _):  # type: ignore[arg-type]
            assert isinstance(enforcer, Irc)
            await server.say("hello")
            await server.say("hello")
            await server.say("you idiot", author="eve")
            assert await intake.texts(3) == ["hello", "hello", "you idiot"]
            assert len({message.id for message in intake.messages}) == 3
            bad = intake.messages[-1]
            await enforcer.timeout(bad, length=MINUTE, reason="test")
            await server.say("may I?", author="eve")
            await enforcer.reply(bad, text="removed")
            assert server.told("eve") == ["removed"]
            await enforcer.undo(bad, Outcome("timeout", OutcomeState.DONE))
            await server.say("thanks", author="eve")
            assert await intake.texts(4) == ["hello", "hello", "you idiot", "thanks"]
        await server.say("unheard")
        async with connected(server, intake):  # type: ignore[arg-type]
            await server.say("hello")
            await intake.texts(5)
            assert len(intake.gaps) == 1


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)
