"""What it costs to judge so many messages a second for so many hours: pure arithmetic over a table of prices."""

import math
import tomllib
from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from chat_moderator.errors import ConfigError
from chat_moderator.types import Struct

UTILISATION: Final = 0.7
"""Share of its time that a core is given work, so that what comes in bursts does not wait."""

_HOUR: Final = 3600
_MILLION: Final = 1_000_000

Positive = Annotated[float, Meta(gt=0)]
Price = Annotated[float, Meta(ge=0)]


class Offer(Struct, frozen=True):
    """A size of a provider: `second` is its price for a second, `million_calls` that of a million calls, in US dollars.

    It is paid for while it exists (`by` time), or while it judges (`by` work). `at_once` is how many may run.
    """

    provider: str
    by: Literal["time", "work"]
    cores: Positive
    memory: Positive
    second: Price
    million_calls: Price
    at_once: Annotated[int, Meta(ge=1)]
    source: str


class Prices(Struct, frozen=True):
    """A table as of a day; `per_core` is how many messages a second one core judges."""

    as_of: date
    per_core: Positive
    offers: tuple[Offer, ...]


class Estimate(Struct, frozen=True):
    """What one offer comes to: how many of it at once, dollars in all and a million messages, and whether it may be."""

    provider: str
    cores: float
    memory: float
    instances: int
    dollars: float
    dollars_a_million: float
    allowed: bool


def read(path: Path | None) -> Prices:
    """The table of a file, the built-in one where None.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        text = (path or files("chat_moderator.cli") / "prices.toml").read_text("utf-8")
        return msgspec.convert(tomllib.loads(text), Prices)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as problem:
        raise ConfigError(str(path), f"is no table of prices: {problem}") from problem


def estimate(prices: Prices, *, rate: float, hours: float, per_core: float, batch: int) -> list[Estimate]:
    """What every offer comes to, the cheapest first, those that may not be at last.

    Args:
        prices: the table.
        rate: messages a second, at every moment of the `hours`.
        hours: more than 0.
        per_core: messages a second that one core judges.
        batch: messages a call, which count where calls are paid for.
    """
    found = [_estimate(offer, rate, hours, per_core, batch) for offer in prices.offers]
    return sorted(found, key=lambda each: (not each.allowed, each.dollars, each.provider))


def idle(prices: Prices) -> Sequence[str]:
    """Who costs nothing while nothing is to be judged."""
    return [offer.provider for offer in prices.offers if offer.by == "work"]


def _estimate(offer: Offer, rate: float, hours: float, per_core: float, batch: int) -> Estimate:
    messages = rate * hours * _HOUR
    instances = math.ceil(rate / (per_core * offer.cores * UTILISATION))
    judging = messages / (per_core * offer.cores)
    seconds = instances * hours * _HOUR if offer.by == "time" else judging
    dollars = seconds * offer.second + messages / batch / _MILLION * offer.million_calls
    return Estimate(
        offer.provider,
        offer.cores,
        offer.memory,
        instances,
        dollars,
        dollars / messages * _MILLION,
        instances <= offer.at_once,
    )
