"""What every audit store does: plain async functions named as sentences, each given an empty store and its clock."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import msgspec
import pytest

from chat_moderator.errors import ConflictError, NotFoundError
from chat_moderator.store.audit import Append, AppendOnce, FindByKey, FindRecord, LastSeq, RecordsAfter
from chat_moderator.store.bookmarks import Bookmark, KeepBookmark
from chat_moderator.store.changes import LastChange, ReadFeed
from chat_moderator.store.database import Store, digest_of
from chat_moderator.store.outbox import (
    DueIntentions,
    EndIntention,
    NextDue,
    OutboxDepth,
    PostponeIntention,
    StartIntention,
)
from chat_moderator.store.retention import Forget
from chat_moderator.store.reviews import ListReviews, ResolveReview, ReviewState
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Appended, Author, Outcome, OutcomeState, Record, Verdict

Check = Callable[[Store, FakeClock], Awaitable[None]]

ALL: Final = RecordsAfter(seq=0, limit=10_000)


async def keeps_records_as_they_were_in_order(store: Store, clock: FakeClock) -> None:
    """What was appended is read back whole, from any place on."""
    author = Author("u", "Zoë", ("vip",), clock())
    records = [
        make_record(make_message('ça va \N{PILE OF POO} "\\\n\u2028', author=author), actions=("alert",)),
        make_record(make_message("bye"), Verdict.BLOCK),
    ]
    places = await store.execute(Append(records=tuple(records)))
    assert places == sorted(places)
    read = await store.ask(ALL)
    assert read == [msgspec.structs.replace(record, seq=seq) for record, seq in zip(records, places, strict=True)]
    assert await store.ask(RecordsAfter(seq=places[0], limit=10)) == read[1:]
    assert await store.ask(RecordsAfter(seq=0, limit=1)) == read[:1]
    assert await store.ask(RecordsAfter(seq=0, limit=1, newest=True)) == read[1:]
    assert await store.ask(RecordsAfter(seq=0, limit=10, flagged=True)) == read[1:]
    assert await store.ask(FindRecord(seq=places[1])) == read[1]
    assert await store.ask(FindRecord(seq=places[1] + 1)) is None
    assert await store.ask(LastSeq()) == places[1]


async def shows_a_client_and_a_channel_their_own(store: Store, clock: FakeClock) -> None:
    """The feed can be read for one client, and for one channel of it."""
    messages = [make_message(client=client, channel=channel) for client in "ab" for channel in ("", "c")]
    await store.execute(Append(records=tuple(map(make_record, messages))))
    theirs = await store.ask(RecordsAfter(seq=0, limit=10, client="b"))
    assert [record.message for record in theirs] == messages[2:]
    narrow = await store.ask(RecordsAfter(seq=0, limit=10, client="b", channel=""))
    assert [record.message for record in narrow] == messages[2:3]


async def decides_once_what_comes_twice(store: Store, clock: FakeClock) -> None:
    """A key has one record and its actions happen once, whether it comes again later or in the same batch."""
    audit = StoredAudit(store)
    first, second = (make_record(make_message(id=name), Verdict.BLOCK, actions=("delete",)) for name in "ab")
    assert await audit.append_once([first, first]) == Appended((0,), ())
    other = make_record(make_message("another text", id="a"))
    assert await audit.append_once([first, second, other]) == Appended((1,), (2,))
    read = await store.ask(ALL)
    assert [record.message.id for record in read] == ["a", "b"]
    assert await store.ask(OutboxDepth()) == 2
    assert await audit.append_once([]) == Appended((), ())


async def decides_once_what_comes_twice_at_once(store: Store, clock: FakeClock) -> None:
    """Of several who append the same batch at the same time, each record is new to exactly one."""
    batch = [make_record(make_message(id=f"m{number}"), actions=("delete",)) for number in range(300)]
    ways = (batch, batch[::-1], batch[100:] + batch[:100], batch[:200])
    results = await asyncio.gather(*(StoredAudit(store).append_once(records) for records in ways))
    new = [way[index].message.id for way, appended in zip(ways, results, strict=True) for index in appended.new]
    assert sorted(new) == sorted(record.message.id for record in batch)
    kept = await store.ask(ALL)
    assert sorted(record.message.id for record in kept) == sorted(new)
    assert await store.ask(OutboxDepth()) == len(batch)


async def gives_the_same_message_the_first_answer(store: Store, clock: FakeClock) -> None:
    """Who asks again under a key gets what was decided; another text under it is refused."""
    message = make_message("hello", id="once")
    first, new = await store.execute(AppendOnce(record=make_record(message), digest=digest_of("hello")))
    assert new
    again = AppendOnce(record=make_record(message, Verdict.BLOCK), digest=digest_of("hello"))
    assert await store.execute(again) == (first, False)
    assert await store.ask(FindByKey(message=message)) == first
    other = make_record(make_message("other", id="once"))
    with pytest.raises(ConflictError):
        await store.execute(AppendOnce(record=other, digest=digest_of("other")))


async def hides_no_record_from_who_reads_on(store: Store, clock: FakeClock) -> None:
    """Whoever reads the feed from place to place sees every record, however many append meanwhile."""
    batches = [[make_record(make_message(id=f"{n}-{i}")) for i in range(20)] for n in range(40)]
    writing = asyncio.gather(*(StoredAudit(store).append_once(batch) for batch in batches))
    seen: list[Record] = []
    while not writing.done() or seen[-1].seq < await store.ask(LastSeq()):
        page = await store.ask(RecordsAfter(seq=seen[-1].seq if seen else 0, limit=50))
        seen += page
    await writing
    assert sorted(record.message.id for record in seen) == sorted(r.message.id for batch in batches for r in batch)


async def reviews_a_held_message_once(store: Store, clock: FakeClock) -> None:
    """A held message is approved or denied; saying so again changes nothing, the opposite is refused."""
    (seq,) = await store.execute(Append(records=(make_record(verdict=Verdict.HOLD),)))
    (review,) = await store.ask(ListReviews())
    assert (review.id, review.state, review.at) == (seq, ReviewState.OPEN, None)
    assert await store.ask(RecordsAfter(seq=0, limit=9, shown=True)) == []
    approve = ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod")
    resolved = await store.execute(approve)
    assert (resolved.reviewer, resolved.at) == ("mod", clock())
    assert (await store.execute(approve)).state is ReviewState.APPROVED
    with pytest.raises(ConflictError, match="is approved already"):
        await store.execute(ResolveReview(id=seq, state=ReviewState.DENIED, reviewer="other"))
    with pytest.raises(NotFoundError, match="there is no review 99"):
        await store.execute(ResolveReview(id=99, state=ReviewState.DENIED, reviewer="mod"))
    assert [each.action for each in await store.ask(DueIntentions(limit=9))] == ["release"]
    assert await store.ask(ListReviews()) == []
    shown = await store.ask(RecordsAfter(seq=0, limit=9, shown=True))
    assert [record.seq for record in shown] == [seq]


async def takes_back_what_was_blocked(store: Store, clock: FakeClock) -> None:
    """A blocked message may be approved; what was let through has no review."""
    blocked, allowed = await store.execute(Append(records=(make_record(verdict=Verdict.BLOCK), make_record())))
    await store.execute(ResolveReview(id=blocked, state=ReviewState.APPROVED, reviewer="mod"))
    assert [each.action for each in await store.ask(DueIntentions(limit=9))] == ["undo"]
    with pytest.raises(NotFoundError):
        await store.execute(ResolveReview(id=allowed, state=ReviewState.APPROVED, reviewer="mod"))


async def tells_a_change_after_its_decision(store: Store, clock: FakeClock) -> None:
    """A moderator's later word is the whole record with a new verdict, and comes no sooner than what it changes."""
    held = tuple(make_record(verdict=Verdict.HOLD) for _ in range(2))
    first, second = await store.execute(Append(records=held))
    clock.advance(60)
    await store.execute(ResolveReview(id=second, state=ReviewState.APPROVED, reviewer="mod"))
    await store.execute(ResolveReview(id=first, state=ReviewState.DENIED, reviewer="mod"))
    pages = [await store.ask(ReadFeed(after=0, changed=0, limit=1))]
    for _ in range(3):
        pages.append(await store.ask(ReadFeed(after=pages[-1].after, changed=pages[-1].changed, limit=1)))
    assert [[each.seq for each in page.records] for page in pages] == [[first], [second], [], []]
    assert [[each.seq for each in page.changes] for page in pages] == [[], [second], [first], []]
    assert (pages[3].after, pages[3].changed) == (second, await store.ask(LastChange()))
    assert [each.decision.verdict for page in pages for each in page.records] == [Verdict.HOLD] * 2
    (approved,), (denied,) = pages[1].changes, pages[2].changes
    for change, before, verdict, rule in (
        (approved, held[1], Verdict.ALLOW, "review: approved"),
        (denied, held[0], Verdict.BLOCK, "review: denied"),
    ):
        decision = msgspec.structs.replace(before.decision, verdict=verdict, rule=rule)
        assert change == msgspec.structs.replace(before, seq=change.seq, decision=decision, decided_at=clock())
    without = await store.ask(ReadFeed(after=0, changed=None, limit=9))
    assert (len(without.records), without.changes) == (2, [])


async def tells_changes_from_a_place_on(store: Store, clock: FakeClock) -> None:
    """Who was away is told what was changed meanwhile, once, in the order in which it was said."""
    held = tuple(make_record(verdict=Verdict.HOLD) for _ in range(3))
    blocked = make_record(verdict=Verdict.BLOCK)
    *places, right = await store.execute(Append(records=(*held, blocked)))
    seen = await store.ask(LastChange())
    assert seen == 0
    for seq in (places[2], places[0], places[0], places[1]):  # saying the same again changes nothing
        await store.execute(ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod"))
    await store.execute(ResolveReview(id=right, state=ReviewState.DENIED, reviewer="mod"))  # nor that it was right
    found = []
    while (page := await store.ask(ReadFeed(after=right, changed=seen, limit=2))).changes:
        assert page.changed > seen
        seen = page.changed
        found += [each.seq for each in page.changes]
    assert found == [places[2], places[0], places[1]]
    assert (page.records, page.after, page.changed) == ([], right, await store.ask(LastChange()))


async def shows_a_client_its_own_changes(store: Store, clock: FakeClock) -> None:
    """A client follows its own decisions and changes, past those of others."""
    records = tuple(make_record(make_message(client=name), Verdict.HOLD) for name in "abab")
    places = await store.execute(Append(records=records))
    for seq in places[:3]:
        await store.execute(ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod"))
    for client, own in (("a", places[::2]), ("b", places[1:2]), ("c", []), (None, places[:3])):
        page = await store.ask(ReadFeed(after=0, changed=0, limit=9, client=client))
        assert [each.seq for each in page.changes] == own
        assert page.after == places[3]
        again = await store.ask(ReadFeed(after=page.after, changed=page.changed, limit=9, client=client))
        assert (again.records, again.changes) == ([], [])


async def hides_no_change_from_who_reads_on(store: Store, clock: FakeClock) -> None:
    """Whoever reads changes from place to place sees every one, however many moderators speak meanwhile."""
    places = await store.execute(Append(records=tuple(make_record(verdict=Verdict.HOLD) for _ in range(60))))
    resolve = (ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod") for seq in places)
    resolving = asyncio.gather(*map(store.execute, resolve))
    seen: list[int] = []
    changed = 0
    while not resolving.done() or changed < await store.ask(LastChange()):
        page = await store.ask(ReadFeed(after=places[-1], changed=changed, limit=7))
        seen += [each.seq for each in page.changes]
        changed = page.changed
    await resolving
    assert sorted(seen) == places


async def keeps_actions_until_their_outcome(store: Store, clock: FakeClock) -> None:
    """What was intended waits in order until what came of it is kept beside its record."""
    blocked = make_record(make_message(client="a"), Verdict.BLOCK, actions=("delete", "reply"))
    (_, seq) = await store.execute(Append(records=(make_record(), blocked)))
    first, second = await store.ask(DueIntentions(limit=9))
    assert [(each.action, each.record.seq, each.superseded) for each in (first, second)] == [
        ("delete", seq, False),
        ("reply", seq, False),
    ]
    assert await store.ask(DueIntentions(limit=9, busy=(first.id,), only="a")) == [second]
    assert await store.ask(DueIntentions(limit=9, without=("a",))) == []
    assert await store.ask(NextDue(without=("a",))) is None
    await store.execute(EndIntention(id=first.id, outcome=Outcome("delete", OutcomeState.DONE)))
    await store.execute(EndIntention(id=first.id, outcome=Outcome("delete", OutcomeState.FAILED)))
    assert await store.ask(OutboxDepth()) == 1
    record = await store.ask(FindRecord(seq=seq))
    assert record is not None
    assert record.outcomes == (Outcome("delete", OutcomeState.DONE),)


async def tries_an_action_again_when_it_is_due(store: Store, clock: FakeClock) -> None:
    """A postponed action is not due before its time, and is then as if it had not begun."""
    await store.execute(Append(records=(make_record(verdict=Verdict.BLOCK, actions=("reply",)),)))
    (intention,) = await store.ask(DueIntentions(limit=9))
    await store.execute(StartIntention(id=intention.id))
    assert [each.started for each in await store.ask(DueIntentions(limit=9))] == [True]
    await store.execute(PostponeIntention(id=intention.id, delay=30))
    assert await store.ask(DueIntentions(limit=9)) == []
    assert await store.ask(NextDue()) == clock().timestamp() + 30
    clock.advance(30)
    (again,) = await store.ask(DueIntentions(limit=9))
    assert (again.attempts, again.started) == (1, False)


async def knows_of_a_later_revision(store: Store, clock: FakeClock) -> None:
    """An action of a revision says whether a later one was decided; other channels and ids are others."""
    message = make_message("bad", id='e"d', channel="c")
    await store.execute(Append(records=(make_record(message, Verdict.BLOCK, actions=("delete",)),)))
    others = [make_message(id='e"d', channel="d", revision=1), make_message(id='e"dd', channel="c", revision=1)]
    await StoredAudit(store).append_once([make_record(other) for other in others])
    assert [each.superseded for each in await store.ask(DueIntentions(limit=9))] == [False]
    edit = msgspec.structs.replace(message, text="good", revision=10)
    await StoredAudit(store).append_once([make_record(edit)])
    assert [each.superseded for each in await store.ask(DueIntentions(limit=9))] == [True]


async def finds_a_source_its_place_again(store: Store, clock: FakeClock) -> None:
    """The latest place under a name counts."""
    assert await store.ask(Bookmark(source="s", name="n")) == ""
    for place in ("1", "2"):
        await store.execute(KeepBookmark(source="s", name="n", place=place))
    assert await store.ask(Bookmark(source="s", name="n")) == "2"


async def forgets_what_is_old_and_done(store: Store, clock: FakeClock) -> None:
    """Retention drops old records with what came of them; open reviews and actions to be done keep theirs."""
    old = clock() - timedelta(days=100)
    records = [
        make_record(),
        make_record(verdict=Verdict.HOLD),
        make_record(verdict=Verdict.BLOCK, actions=("delete",)),
        make_record(verdict=Verdict.HOLD),
    ]
    aged = tuple(msgspec.structs.replace(record, decided_at=old) for record in records)
    *places, new = await store.execute(Append(records=(*aged, make_record())))
    await store.execute(ResolveReview(id=places[3], state=ReviewState.DENIED, reviewer="mod"))
    (delete,) = [each for each in await store.ask(DueIntentions(limit=9)) if each.record.seq == places[3]]
    await store.execute(EndIntention(id=delete.id, outcome=Outcome("delete", OutcomeState.DONE)))
    said = await store.ask(LastChange())
    before = (clock() - timedelta(days=90)).timestamp()
    assert await store.execute(Forget(before=before)) == 2
    assert await store.execute(Forget(before=before)) == 0
    assert [record.seq for record in await store.ask(ALL)] == [places[1], places[2], new]
    assert await store.ask(ListReviews(state=ReviewState.DENIED)) == []
    assert await store.ask(LastChange()) == 0
    await store.execute(ResolveReview(id=places[1], state=ReviewState.APPROVED, reviewer="mod"))
    page = await store.ask(ReadFeed(after=new, changed=said, limit=9))  # who had read up to what is gone
    assert [each.seq for each in page.changes] == [places[1]]


async def forgets_an_author(store: Store, clock: FakeClock) -> None:
    """An erased author's text and name are gone, on one platform where it is named; all else stays."""
    author = Author("gone", "Canary Name", ("vip",), clock())
    messages = [make_message("canary", author=author, platform=name) for name in ("discord", "slack")]
    stays = make_record(make_message("kept", author=Author("stays", "Somebody")))
    wanted = [make_record(message, Verdict.HOLD) for message in messages]
    *places, _ = await store.execute(Append(records=(*wanted, stays)))
    for seq in places:
        await store.execute(ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod"))
    audit = StoredAudit(store)
    assert await audit.erase("gone", platform="slack") == 1
    assert [record.message.text for record in await store.ask(ALL)] == ["canary", "", "kept"]
    assert await audit.erase("gone") == 2
    read = await store.ask(ALL)
    assert [record.message.text for record in read] == ["", "", "kept"]
    assert [record.message.author for record in read] == [Author("gone"), Author("gone"), stays.message.author]
    changes = (await store.ask(ReadFeed(after=places[1], changed=0, limit=9))).changes
    assert [(each.message.text, each.message.author) for each in changes] == [("", Author("gone"))] * 2
    assert await audit.erase("nobody") == 0


CHECKS: tuple[Check, ...] = (
    keeps_records_as_they_were_in_order,
    shows_a_client_and_a_channel_their_own,
    decides_once_what_comes_twice,
    decides_once_what_comes_twice_at_once,
    gives_the_same_message_the_first_answer,
    hides_no_record_from_who_reads_on,
    reviews_a_held_message_once,
    takes_back_what_was_blocked,
    tells_a_change_after_its_decision,
    tells_changes_from_a_place_on,
    shows_a_client_its_own_changes,
    hides_no_change_from_who_reads_on,
    keeps_actions_until_their_outcome,
    tries_an_action_again_when_it_is_due,
    knows_of_a_later_revision,
    finds_a_source_its_place_again,
    forgets_what_is_old_and_done,
    forgets_an_author,
)
"""The contract of `Store` for what several processes may share."""
