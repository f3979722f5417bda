"""Comparing with Perspective: a server of our own takes its place."""

import asyncio
import re
from pathlib import Path

from chat_moderator.types import Role
from tests.cli.commands import Done, command
from tests.gateway.serving import gateway_on


def compared(tmp_path: Path, lines: str, *options: str, key: str = "") -> Done:
    file = tmp_path / "texts.txt"
    file.write_text(lines)

    async def run() -> Done:
        async with gateway_on(tmp_path) as gateway:
            await gateway.make_keys()
            arguments = ["--perspective", key or gateway.tokens[Role.CLIENT], "--endpoint", f"{gateway.url}/v1alpha1"]
            more = ["--rate", "1000", "--output", str(tmp_path / "report.html"), *options]
            return await asyncio.to_thread(command, "compare", str(file), *arguments, *more)

    return asyncio.run(run())


def test_both_scores_are_shown_side_by_side(tmp_path: Path) -> None:
    done = compared(tmp_path, "you are bad\nhello there\n\nสวัสดีครับ\n", "--attributes", "TOXICITY,INSULT")
    assert done.code == 0, done.err
    assert "TOXICITY" in done.out
    assert "1 texts were refused: LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE" in done.err
    report = (tmp_path / "report.html").read_text()
    assert report.count("<figure>") == 6
    assert not re.search(r"https?://|<script|<link|src=", report)
    assert "you are bad" not in report


def test_a_wrong_key_and_an_unknown_attribute_are_said_at_once(tmp_path: Path) -> None:
    wrong = compared(tmp_path, "hello\n", key="AIzaWrong")
    assert wrong.code == 2
    assert "the key is refused" in wrong.err
    unknown = command("compare", str(tmp_path / "texts.txt"), "--perspective", "k", "--attributes", "FLIRTATION")
    assert unknown.code == 2
    assert "there is no FLIRTATION here" in unknown.err


def test_a_file_of_which_nothing_was_scored_is_an_error(tmp_path: Path) -> None:
    done = compared(tmp_path, "สวัสดีครับ\n")
    assert done.code == 2
    assert "no text was scored: 1 times LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE" in done.err
