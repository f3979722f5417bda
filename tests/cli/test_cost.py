"""`cost`: the arithmetic, the table that ships, and prices of one's own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.cli import pricing
from chat_moderator.cli.pricing import Offer, Prices
from tests.cli.commands import command

TABLE = pricing.read(None)
rates = st.floats(0.001, 1e6)


def test_it_compares_the_providers() -> None:
    done = command("cost", "--rate", "10000", "--hours", "2", "--json")
    assert done.code == 0
    assert {each["provider"] for each in done.objects} == {offer.provider for offer in TABLE.offers}
    dollars = [each["dollars"] for each in done.objects]
    assert dollars == sorted(dollars)
    shown = command("cost", "--rate", "10000", "--hours", "2").out
    assert f"prices of {TABLE.as_of}" in shown
    assert "AWS Lambda, arm64" in shown


def test_by_hand() -> None:
    by_time = Offer("a", "time", cores=2, memory=4, second=0.001, million_calls=0, at_once=10, source="x")
    by_work = Offer("b", "work", cores=1, memory=2, second=0.001, million_calls=1, at_once=1, source="x")
    prices = Prices(TABLE.as_of, 1000, (by_time, by_work))
    first, second = pricing.estimate(prices, rate=7000, hours=1, per_core=1000, batch=100)
    assert (first.provider, first.instances, first.allowed) == ("a", 5, True)
    assert first.dollars == pytest.approx(5 * 3.6)
    assert (second.provider, second.instances, second.allowed) == ("b", 10, False)
    assert second.dollars == pytest.approx(7 * 3.6 + 7000 * 3600 / 100 / 1e6)
    assert second.dollars_a_million == pytest.approx(second.dollars / 25.2)


@given(rate=rates, more=st.floats(1.0, 100.0), hours=st.floats(0.01, 1000.0))
def test_more_messages_never_cost_less(rate: float, more: float, hours: float) -> None:
    def dollars(wanted: float) -> dict[str, float]:
        found = pricing.estimate(TABLE, rate=wanted, hours=hours, per_core=17_000, batch=100)
        return {each.provider: each.dollars for each in found}

    less, larger = dollars(rate), dollars(rate * more)
    assert all(less[name] <= larger[name] * (1 + 1e-9) for name in less)


def test_every_price_says_where_it_is_from() -> None:
    assert all(offer.source.startswith("https://") for offer in TABLE.offers)


@pytest.mark.parametrize(
    "text", ["", "as_of = 1", "[[offers]]\nprovider = 1", "\x00", "as_of = 2026-01-01\nper_core = 0"]
)
def test_a_table_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    done = command("cost", "--rate", "1", "--prices", str(path))
    assert done.code == 2
    assert "is no table of prices" in done.err


@pytest.mark.parametrize(
    "arguments", [["--rate", "0"], ["--rate", "-1"], ["--rate", "nan"], [], ["--rate", "1", "--batch", "0"]]
)
def test_a_number_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    assert command("cost", *arguments).code == 2
