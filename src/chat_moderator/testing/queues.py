"""What every queue does: plain async functions named as sentences, each given a fresh queue and a way to pass time.

A plugin's test makes a `Trial` of its queue and runs every one of `CHECKS`, but those in `KNOWING` where it does
not know messages again.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from chat_moderator.errors import ConflictError, OverloadedError, StaleLeaseError
from chat_moderator.protocols import Lease, Queue
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Depth, Message, Struct

CAPACITY = 1000


class Trial(Struct, frozen=True):
    """A fresh queue and what may be expected of it.

    Args:
        queue: takes CAPACITY messages before it refuses.
        lease_seconds: that its leases last.
        pass_time: lets so many seconds go by, on a clock of its own or the real one.
        delay: seconds, the shortest that it can put a message aside for.
        glance: how long it is looked for messages where there should be none.
        patience: how long is waited for messages that should be there.
        counts: whether its depth is exact at once and counts messages; many brokers count envelopes, and roughly.
        tells_depth: whether it has one; where the broker tells it elsewhere, nothing is ever refused as too much.
        load: messages of the longest check.
    """

    queue: Queue
    lease_seconds: float
    pass_time: Callable[[float], Awaitable[None]]
    delay: float = 1.0
    glance: timedelta = timedelta()
    patience: timedelta = timedelta(seconds=10)
    counts: bool = True
    tells_depth: bool = True
    load: int = 8000

    @property
    def lost_rounds(self) -> range:
        """The rounds whose leases are let run out; few where that takes real time."""
        return range(3, 1000 * self.load // 8000, 5)

    async def shows(self, holds: Callable[[Depth], bool]) -> None:
        """Waits until the depth is as it should be, at once where the queue counts exactly."""
        async with asyncio.timeout(self.patience.total_seconds()):
            while self.tells_depth and not holds(depth := await self.queue.depth()):
                assert not self.counts, depth
                await asyncio.sleep(0.05)

    async def lease(self, limit: int = 100) -> Lease:
        """The lease that has to be there."""
        lease = await self.queue.lease(limit, wait=self.patience)
        assert lease is not None, "messages wait, so a lease is given"
        return lease

    async def look(self, limit: int = 100) -> Lease | None:
        """A lease, where there is one."""
        return await self.queue.lease(limit, wait=self.glance)

    async def put_one_by_one(self, messages: list[Message]) -> None:
        """Each in an envelope of its own."""
        for message in messages:
            assert await self.queue.put([message]) == 1

    async def expire(self) -> None:
        """Lets the leases run out."""
        await self.pass_time(1.1 * self.lease_seconds)


Check = Callable[[Trial], Awaitable[None]]


async def hands_over_what_was_put_in_order(trial: Trial) -> None:
    """A channel's messages come in the order they were put, each field as it was."""
    messages = [make_message(f"line {number} \N{GRINNING FACE}", channel="a") for number in range(20)]
    assert await trial.queue.put(messages) == 20
    lease = await trial.lease()
    assert list(lease.messages) == messages
    assert list(lease.attempts) == [1] * 20
    await lease.ack()


async def gives_nothing_when_nothing_waits(trial: Trial) -> None:
    """An empty queue answers None."""
    assert await trial.look() is None


async def does_not_hand_over_again_what_was_acked(trial: Trial) -> None:
    """Acked is gone, for ever."""
    await trial.queue.put([make_message()])
    await (await trial.lease()).ack()
    await trial.expire()
    assert await trial.look() is None
    await trial.shows(lambda depth: (depth.waiting, depth.leased) == (0, 0))


async def hands_over_again_what_was_not_acked(trial: Trial) -> None:
    """A lease that ran out is given to the next, with one more attempt."""
    await trial.queue.put([make_message()])
    await trial.lease()
    assert await trial.look() is None
    await trial.expire()
    again = await trial.lease()
    assert list(again.attempts) == [2]
    await again.ack()


async def refuses_to_settle_a_lease_that_ran_out_and_was_taken_over(trial: Trial) -> None:
    """Whoever wakes late can neither renew nor ack."""
    await trial.queue.put([make_message()])
    stale = await trial.lease()
    await trial.expire()
    fresh = await trial.lease()
    for settle in (stale.renew, stale.ack):
        try:
            await settle()
        except StaleLeaseError:
            continue
        raise AssertionError("a stale lease settled")
    await fresh.ack()


async def keeps_a_renewed_lease(trial: Trial) -> None:
    """Renewing starts the time anew."""
    await trial.queue.put([make_message()])
    lease = await trial.lease()
    await trial.pass_time(0.6 * trial.lease_seconds)
    await lease.renew()
    await trial.pass_time(0.6 * trial.lease_seconds)
    assert await trial.look() is None
    await lease.ack()


async def leases_a_channel_to_one_caller_at_a_time(trial: Trial) -> None:
    """While part of a channel is leased, the rest of it waits."""
    messages = [make_message(channel="a") for _ in range(4)]
    await trial.put_one_by_one(messages)
    first = await trial.lease(2)
    assert await trial.look(2) is None
    await first.ack()
    assert list(first.messages) == messages[: len(first.messages)]
    rest = messages[len(first.messages) :]
    while rest:
        lease = await trial.lease(2)
        assert list(lease.messages) == rest[: len(lease.messages)]
        rest = rest[len(lease.messages) :]
        await lease.ack()


async def brings_back_later_what_is_to_be_tried_again(trial: Trial) -> None:
    """A retried message comes after its delay with one more attempt, its neighbours are settled."""
    bad, good = make_message("bad", channel="a"), make_message("good", channel="a")
    await trial.queue.put([bad, good])
    lease = await trial.lease()
    await lease.retry([0], delay=timedelta(seconds=trial.delay))
    await lease.ack()
    assert await trial.look() is None
    await trial.shows(lambda depth: depth.delayed == 1)
    await trial.pass_time(1.2 * trial.delay)
    again = await trial.lease()
    assert (list(again.messages), list(again.attempts)) == ([bad], [2])
    await again.ack()
    await trial.shows(lambda depth: depth.delayed == 0)


async def buries_with_the_reason(trial: Trial) -> None:
    """A dead letter is counted and does not come back."""
    await trial.queue.put([make_message(), make_message()])
    lease = await trial.lease()
    await lease.bury([1], reason="cannot be judged")
    await lease.ack()
    await trial.expire()
    assert await trial.look() is None
    await trial.shows(lambda depth: depth.dead == 1)


async def takes_a_key_once(trial: Trial) -> None:
    """The same message again, in the same batch or later, is one message."""
    message = make_message()
    assert await trial.queue.put([message, message]) == 1
    assert await trial.queue.put([message]) == 0
    lease = await trial.lease()
    assert list(lease.messages) == [message]
    await lease.ack()
    assert await trial.queue.put([message]) == 0
    assert await trial.look() is None


async def takes_every_revision(trial: Trial) -> None:
    """An edit is another message."""
    first = make_message("first", id="same")
    edit = make_message("second", id="same", revision=1)
    assert await trial.queue.put([first, edit]) == 2


async def refuses_a_key_with_another_text_and_keeps_nothing(trial: Trial) -> None:
    """The whole batch is refused and the culprit named."""
    await trial.queue.put([make_message("one", id="same")])
    refused = None
    try:
        await trial.queue.put([make_message(), make_message("other", id="same")])
    except ConflictError as conflict:
        refused = (conflict.index, conflict.message_id)
    assert refused == (1, "same"), "the same key with another text is refused, and named"
    assert (await trial.queue.depth()).waiting == 1


async def refuses_when_it_is_full_and_keeps_nothing(trial: Trial) -> None:
    """A batch that does not fit is refused whole."""
    if not trial.tells_depth:
        return
    taken = 0
    try:
        while taken < 10 * CAPACITY:  # an envelope may hold several
            taken += await trial.queue.put([make_message(channel=f"c{number}") for number in range(100)])
    except OverloadedError:
        pass
    else:
        raise AssertionError("a full queue took more")
    if trial.counts:
        assert (await trial.queue.depth()).waiting == taken == CAPACITY


async def tells_its_depth(trial: Trial) -> None:
    """Waiting, leased and the age of the oldest."""
    await trial.put_one_by_one([make_message(channel="a"), make_message(channel="a")])
    await trial.pass_time(0.1)
    await trial.shows(lambda depth: (depth.waiting, depth.leased) == (2, 0))
    await trial.shows(lambda depth: "oldest" in depth.untold or depth.oldest >= timedelta(seconds=0.1))
    if not trial.tells_depth:
        assert set((await trial.queue.depth()).untold) == {"waiting", "leased", "delayed", "dead", "oldest"}
    lease = await trial.lease(1)
    leased = len(lease.messages)
    await trial.shows(lambda depth: (depth.waiting, depth.leased) == (2 - leased, leased))
    await lease.ack()


async def loses_nothing_over_many_rounds(trial: Trial) -> None:
    """Leases of every size, some acked, some lost: in the end each message was acked once, in its channel's order."""
    messages = [make_message(channel=f"c{number % 7}") for number in range(300)]
    await trial.queue.put(messages)
    acked: list[Message] = []
    for round_ in range(1000):
        if len(acked) == len(messages):
            break
        lease = await trial.lease(1 + round_ % 40)
        if round_ in trial.lost_rounds:
            await trial.expire()
            continue
        acked += lease.messages
        await lease.ack()
    assert sorted(message.id for message in acked) == sorted(message.id for message in messages)
    for channel in {message.channel for message in messages}:
        assert [each for each in acked if each.channel == channel] == [
            each for each in messages if each.channel == channel
        ]


async def loses_and_doubles_nothing_when_lanes_lag_behind_each_other(trial: Trial) -> None:
    """Several leases at once, some settled late, some never, while messages go on coming."""
    chance = random.Random(5)  # noqa: S311 -- the same rounds every time
    sent, acked, open_leases = 0, Counter[str](), list[Lease]()
    while sum(acked.values()) < trial.load:
        if sent < trial.load:
            batch = [make_message(channel=f"c{chance.randrange(40)}") for _ in range(200)]
            with contextlib.suppress(OverloadedError):
                sent += await trial.queue.put(batch)
        lease = await trial.look(chance.randrange(1, 120))
        if lease is not None:
            open_leases.append(lease)
        if open_leases and (lease is None or len(open_leases) > chance.randrange(4)):
            settled = open_leases.pop(chance.randrange(len(open_leases)))
            with contextlib.suppress(StaleLeaseError):  # on a real clock one may have run out
                await settled.ack()
                acked.update(message.id for message in settled.messages)
        if chance.random() < 0.02 * trial.load / 8000:
            await trial.expire()
            open_leases.clear()
    assert max(acked.values()) == 1
    assert len(acked) == sent


CHECKS: tuple[Check, ...] = (
    hands_over_what_was_put_in_order,
    gives_nothing_when_nothing_waits,
    does_not_hand_over_again_what_was_acked,
    hands_over_again_what_was_not_acked,
    refuses_to_settle_a_lease_that_ran_out_and_was_taken_over,
    keeps_a_renewed_lease,
    leases_a_channel_to_one_caller_at_a_time,
    brings_back_later_what_is_to_be_tried_again,
    buries_with_the_reason,
    takes_a_key_once,
    takes_every_revision,
    refuses_a_key_with_another_text_and_keeps_nothing,
    refuses_when_it_is_full_and_keeps_nothing,
    tells_its_depth,
    loses_nothing_over_many_rounds,
    loses_and_doubles_nothing_when_lanes_lag_behind_each_other,
)
"""The contract of `Queue`."""

KNOWING: Final = frozenset({takes_a_key_once, refuses_a_key_with_another_text_and_keeps_nothing})
"""The checks of queues that know a message again; with the others a duplicate comes twice, and is decided once."""
