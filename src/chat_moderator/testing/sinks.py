"""What every sink does: plain async functions named as sentences, each given a sink and a way to read what it kept."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from chat_moderator.protocols import Sink
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Record

Read = Callable[[], Sequence[Record]]
Check = Callable[[Sink, Read], Awaitable[None]]


def _records(count: int) -> list[Record]:
    return [msgspec.structs.replace(make_record(), seq=seq) for seq in range(1, count + 1)]


async def keeps_records_in_order_as_they_were(sink: Sink, read: Read) -> None:
    """What was written is there, whole, when `write` returns."""
    records = _records(5)
    await sink.write(records[:3])
    await sink.write(records[3:])
    assert list(read()) == records


async def takes_the_same_records_again(sink: Sink, read: Read) -> None:
    """After a crash the last batch comes twice; `seq` tells."""
    records = _records(2)
    await sink.write(records)
    await sink.write(records)
    assert {record.seq for record in read()} == {1, 2}


async def takes_any_text(sink: Sink, read: Read) -> None:
    """Line ends, quotes and emoji come back as they were."""
    record = msgspec.structs.replace(make_record(make_message('a\nb\r\n"c"\t\N{PILE OF POO}\u2028')), seq=1)
    await sink.write([record])
    assert list(read()) == [record]


async def forgets_an_author(sink: Sink, read: Read) -> None:
    """Where the sink keeps texts, an erased author's are gone from it and others' stay."""
    gone = make_record(make_message("canary", author=Author("gone", "Canary")))
    stays = make_record(make_message("kept", author=Author("stays", "Kept")))
    await sink.write([gone, stays])
    before = len(read())
    await sink.erase("gone")
    kept = read()
    assert len(kept) == before
    assert kept[-1] == stays


CHECKS: tuple[Check, ...] = (
    keeps_records_in_order_as_they_were,
    takes_the_same_records_again,
    takes_any_text,
    forgets_an_author,
)
"""The contract of `Sink`."""
