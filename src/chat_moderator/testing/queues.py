"""What every queue does: plain async functions named as sentences, each given a fresh queue and a way to pass time."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

from chat_moderator.errors import ConflictError, OverloadedError, StaleLeaseError
from chat_moderator.protocols import Lease, Queue
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Message

NOW = timedelta()
LEASE_SECONDS = 30.0
CAPACITY = 1000

Check = Callable[[Queue, Callable[[float], None]], Awaitable[None]]
"""Called with a queue of CAPACITY messages whose leases last LEASE_SECONDS, and a function that moves its clock."""


async def _lease(queue: Queue, limit: int = 100) -> Lease:
    lease = await queue.lease(limit, wait=NOW)
    assert lease is not None, "messages wait, so a lease is given"
    return lease


async def hands_over_what_was_put_in_order(queue: Queue, advance: Callable[[float], None]) -> None:
    """A channel's messages come in the order they were put, each field as it was."""
    messages = [make_message(f"line {number} \N{GRINNING FACE}", channel="a") for number in range(20)]
    assert await queue.put(messages) == 20
    lease = await _lease(queue)
    assert list(lease.messages) == messages
    assert list(lease.attempts) == [1] * 20
    await lease.ack()


async def gives_nothing_when_nothing_waits(queue: Queue, advance: Callable[[float], None]) -> None:
    """An empty queue answers None."""
    assert await queue.lease(10, wait=NOW) is None


async def does_not_hand_over_again_what_was_acked(queue: Queue, advance: Callable[[float], None]) -> None:
    """Acked is gone, for ever."""
    await queue.put([make_message()])
    await (await _lease(queue)).ack()
    advance(LEASE_SECONDS + 1)
    assert await queue.lease(10, wait=NOW) is None
    depth = await queue.depth()
    assert (depth.waiting, depth.leased) == (0, 0)


async def hands_over_again_what_was_not_acked(queue: Queue, advance: Callable[[float], None]) -> None:
    """A lease that ran out is given to the next, with one more attempt."""
    await queue.put([make_message()])
    await _lease(queue)
    assert await queue.lease(10, wait=NOW) is None
    advance(LEASE_SECONDS + 1)
    again = await _lease(queue)
    assert list(again.attempts) == [2]
    await again.ack()


async def refuses_to_settle_a_lease_that_ran_out_and_was_taken_over(
    queue: Queue, advance: Callable[[float], None]
) -> None:
    """Whoever wakes late can neither renew nor ack."""
    await queue.put([make_message()])
    stale = await _lease(queue)
    advance(LEASE_SECONDS + 1)
    fresh = await _lease(queue)
    for settle in (stale.renew, stale.ack):
        try:
            await settle()
        except StaleLeaseError:
            continue
        raise AssertionError("a stale lease settled")
    await fresh.ack()


async def keeps_a_renewed_lease(queue: Queue, advance: Callable[[float], None]) -> None:
    """Renewing starts the time anew."""
    await queue.put([make_message()])
    lease = await _lease(queue)
    advance(LEASE_SECONDS - 1)
    await lease.renew()
    advance(LEASE_SECONDS - 1)
    assert await queue.lease(10, wait=NOW) is None
    await lease.ack()


async def leases_a_channel_to_one_caller_at_a_time(queue: Queue, advance: Callable[[float], None]) -> None:
    """While part of a channel is leased, the rest of it waits."""
    messages = [make_message(channel="a") for _ in range(4)]
    await queue.put(messages)
    first = await _lease(queue, 2)
    assert await queue.lease(2, wait=NOW) is None
    await first.ack()
    second = await _lease(queue, 2)
    assert list(second.messages) == messages[2:]
    await second.ack()


async def brings_back_later_what_is_to_be_tried_again(queue: Queue, advance: Callable[[float], None]) -> None:
    """A retried message comes after its delay with one more attempt, its neighbours are settled."""
    bad, good = make_message("bad", channel="a"), make_message("good", channel="a")
    await queue.put([bad, good])
    lease = await _lease(queue)
    await lease.retry([0], delay=timedelta(seconds=5))
    await lease.ack()
    assert await queue.lease(10, wait=NOW) is None
    assert (await queue.depth()).delayed == 1
    advance(6)
    again = await _lease(queue)
    assert (list(again.messages), list(again.attempts)) == ([bad], [2])
    await again.ack()
    assert (await queue.depth()).delayed == 0


async def buries_with_the_reason(queue: Queue, advance: Callable[[float], None]) -> None:
    """A dead letter is counted and does not come back."""
    await queue.put([make_message(), make_message()])
    lease = await _lease(queue)
    await lease.bury([1], reason="cannot be judged")
    await lease.ack()
    advance(LEASE_SECONDS + 1)
    assert await queue.lease(10, wait=NOW) is None
    assert (await queue.depth()).dead == 1


async def takes_a_key_once(queue: Queue, advance: Callable[[float], None]) -> None:
    """The same message again, in the same batch or later, is one message."""
    message = make_message()
    assert await queue.put([message, message]) == 1
    assert await queue.put([message]) == 0
    lease = await _lease(queue)
    assert list(lease.messages) == [message]
    await lease.ack()
    assert await queue.put([message]) == 0
    assert await queue.lease(10, wait=NOW) is None


async def takes_every_revision(queue: Queue, advance: Callable[[float], None]) -> None:
    """An edit is another message."""
    first = make_message("first", id="same")
    edit = make_message("second", id="same", revision=1)
    assert await queue.put([first, edit]) == 2


async def refuses_a_key_with_another_text_and_keeps_nothing(queue: Queue, advance: Callable[[float], None]) -> None:
    """The whole batch is refused and the culprit named."""
    await queue.put([make_message("one", id="same")])
    refused = None
    try:
        await queue.put([make_message(), make_message("other", id="same")])
    except ConflictError as conflict:
        refused = (conflict.index, conflict.message_id)
    assert refused == (1, "same"), "the same key with another text is refused, and named"
    assert (await queue.depth()).waiting == 1


async def refuses_when_it_is_full_and_keeps_nothing(queue: Queue, advance: Callable[[float], None]) -> None:
    """A batch that does not fit is refused whole."""
    await queue.put([make_message() for _ in range(CAPACITY)])
    try:
        await queue.put([make_message()])
    except OverloadedError:
        pass
    else:
        raise AssertionError("a full queue took a message")
    assert (await queue.depth()).waiting == CAPACITY


async def tells_its_depth(queue: Queue, advance: Callable[[float], None]) -> None:
    """Waiting, leased and the age of the oldest."""
    await queue.put([make_message(channel="a"), make_message(channel="a")])
    advance(3)
    depth = await queue.depth()
    assert (depth.waiting, depth.leased) == (2, 0)
    assert depth.oldest >= timedelta(seconds=3)
    lease = await _lease(queue, 1)
    depth = await queue.depth()
    assert (depth.waiting, depth.leased) == (1, 1)
    await lease.ack()


async def loses_nothing_over_many_rounds(queue: Queue, advance: Callable[[float], None]) -> None:
    """Leases of every size, some acked, some lost: in the end each message was acked once, in its channel's order."""
    messages = [make_message(channel=f"c{number % 7}") for number in range(300)]
    await queue.put(messages)
    acked: list[Message] = []
    for round_ in range(1000):
        lease = await queue.lease(1 + round_ % 40, wait=NOW)
        if lease is None:
            break
        if round_ % 5 == 3:
            advance(LEASE_SECONDS + 1)
            continue
        acked += lease.messages
        await lease.ack()
    assert sorted(message.id for message in acked) == sorted(message.id for message in messages)
    for channel in {message.channel for message in messages}:
        assert [each for each in acked if each.channel == channel] == [
            each for each in messages if each.channel == channel
        ]


async def loses_and_doubles_nothing_when_lanes_lag_behind_each_other(
    queue: Queue, advance: Callable[[float], None]
) -> None:
    """Several leases at once, some settled late, some never, while messages go on coming."""
    chance = random.Random(5)  # noqa: S311 -- the same rounds every time
    sent, acked, open_leases = 0, Counter[str](), list[Lease]()
    while sum(acked.values()) < 8000:
        depth = await queue.depth()
        if sent < 8000 and depth.waiting + depth.leased <= CAPACITY - 200:
            batch = [make_message(channel=f"c{chance.randrange(40)}") for _ in range(200)]
            sent += await queue.put(batch)
        lease = await queue.lease(chance.randrange(1, 120), wait=NOW)
        if lease is not None:
            open_leases.append(lease)
        if open_leases and (lease is None or len(open_leases) > chance.randrange(4)):
            settled = open_leases.pop(chance.randrange(len(open_leases)))
            await settled.ack()
            acked.update(message.id for message in settled.messages)
        if chance.random() < 0.02:
            advance(LEASE_SECONDS + 1)
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
