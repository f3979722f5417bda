import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import command, process

TOXIC = "you fucking idiot"


def test_a_clean_text_exits_with_0_and_a_flagged_one_with_1() -> None:
    assert command("moderate", "hello there").code == 0
    flagged = command("moderate", TOXIC)
    assert flagged.code == 1
    assert "block" in flagged.out
    assert TOXIC in flagged.out


def test_json_has_what_is_promised_in_input_order() -> None:
    given = "\n".join(json.dumps({"id": f"m{number}", "text": text}) for number, text in enumerate(["hi", TOXIC, ""]))
    done = command("moderate", "--jsonl", "--json", given=given)
    assert done.code == 1
    assert [answer["id"] for answer in done.objects] == ["m0", "m1", "m2"]
    assert [answer["action"] for answer in done.objects] == ["allow", "block", "allow"]
    for answer in done.objects:
        assert list(answer) == ["id", "action", "score", "scores", "rule", "spans"]
        assert all(0 <= score <= 1 for score in [answer["score"], *answer["scores"].values()])
    assert done.objects[0]["spans"] == []


def test_spans_count_code_points_of_the_original() -> None:
    done = command("moderate", "--json", given=f"\U0001f600\u0301 {TOXIC}")
    (answer,) = done.objects
    assert all(2 < start < end <= 3 + len(TOXIC) for start, end, _ in answer["spans"])


def test_lines_are_texts_with_their_number_as_id() -> None:
    done = command("moderate", "--json", given=b"\xef\xbb\xbfhello\r\n\n" + TOXIC.encode())
    assert [(answer["id"], answer["action"]) for answer in done.objects] == [
        ("1", "allow"),
        ("2", "allow"),
        ("3", "block"),
    ]


def test_blank_lines_between_objects_are_passed_over() -> None:
    done = command("moderate", "--jsonl", "--json", given='{"id":"a","text":"hi"}\n\n  \n{"id":"b","text":"yo"}\n')
    assert [answer["id"] for answer in done.objects] == ["a", "b"]


@pytest.mark.parametrize("arguments", [("--json",), ("--jsonl", "--json"), ()])
def test_no_input_is_clean(arguments: tuple[str, ...]) -> None:
    done = command("moderate", *arguments, given=b"")
    assert (done.code, done.out) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        ((), b"ok\n\xff\xfe\n", "line 2: not UTF-8: byte 0xff at place 1"),
        ((), b"ok\nno\0\n", "line 2: NUL"),
        ((), b"x" * 20_001, "line 1: the text has 20,001 characters; at most 20,000"),
        ((), b"a\nb\n" + b"x" * 10_000_000, "line 3: longer than 256 KB"),
        (("--jsonl",), b'{"id":"1","text":"ok"}\n{"id":"2"}', "line 2: not a message: Object missing required field"),
        (("--jsonl",), b'{"id":1,"text":"ok"}', "line 1: not a message: Expected `str`, got `int`"),
        (("--jsonl",), b'{"id":"1","text":"ok","user":"x"}', "the fields are id, text,"),
        (("--jsonl",), b'{"id":"1","text":"\\ud800"}', "half a surrogate pair"),
        (("--jsonl",), b'{"id":"1","text":"a\\u0000b"}', "line 1: NUL"),
        (("--jsonl",), b'{"id":"1","text":"\xff"}', "line 1: not a message"),
        (("--jsonl",), b"[" * 2000, "line 1: not a message"),
        (("--jsonl",), b'{"id":"1","text":"' + b'"}' * 2, "line 1: not a message"),
        (("--jsonl",), b"\x7fELF\x02\x01\x01\x00\n\x00", "line 1: not a message"),
    ],
)
def test_a_bad_line_is_named_and_nothing_of_its_batch_is_answered(
    arguments: tuple[str, ...], given: bytes, says: str
) -> None:
    for more in ((), ("--json",)):
        done = command("moderate", *arguments, *more, given=given)
        assert done.code == 2
        assert done.out == ""
        assert done.err.startswith("error: line ")
        assert done.err.count("\n") == 1
        assert says in done.err


def test_the_longest_text_however_escaped_is_taken() -> None:
    escaped = "\\ud83d\\ude00" * 20_000
    done = command("moderate", "--jsonl", "--json", given=f'{{"id":"1","text":"{escaped}"}}')
    assert done.code in {0, 1}


def test_a_line_is_answered_while_the_input_is_still_open() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "chat_moderator", "moderate", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for text in ("hello", TOXIC):
            running.stdin.write(f"{text}\n".encode())
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["action"] == ("allow" if text == "hello" else "block")
        running.stdin.close()
        assert running.wait() == 1


def test_what_a_terminal_would_obey_is_spelt_out() -> None:
    done = command("moderate", given="hello \x1b[31m\u202e\x07 [bold]you[/bold]")
    assert r"hello \x1b[31m\u202e\x07 [bold]you[/bold]" in done.out


def test_settings_are_taken_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "moderator.toml").write_text('[[policy.rules]]\nname = "no hi"\nwhen = "true"\nverdict = "hold"\n')
    done = command("moderate", "--json", "hello")
    assert done.code == 1
    assert (done.objects[0]["action"], done.objects[0]["rule"]) == ("hold", "rule:no hi")


def test_another_file_is_named_with_config(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[policy]\nthreshold = 7\n")
    done = command("moderate", "--config", "other.toml", "hello")
    assert (done.code, done.err[:24]) == (2, "error: policy.threshold:")
    done = command("moderate", "--config", "missing.toml", "hello")
    assert (done.code, done.err) == (2, "error: missing.toml: cannot be read: No such file or directory\n")


def test_a_text_and_jsonl_exclude_each_other() -> None:
    assert command("moderate", "--jsonl", "hello").err == "error: --jsonl: reads standard input; leave out the text\n"


def test_an_argument_that_is_not_utf_8_is_refused() -> None:
    done = process("moderate", b"caf\xe9")
    assert done.code == 2
    assert "argument 2 is not valid UTF-8" in done.err


def test_json_is_utf_8_and_a_table_is_printed_whatever_the_locale() -> None:
    done = process("moderate", "--jsonl", "--json", given='{"id":"é😀","text":"x"}'.encode(), PYTHONIOENCODING="ascii")
    assert done.objects[0]["id"] == "é😀"
    assert r"\U0001f600" in process("moderate", "😀", PYTHONIOENCODING="ascii").out


def test_nobody_reading_is_quiet() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "chat_moderator", "moderate", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        running.stdout = None
        _, err = running.communicate(b"hello\n" * 1000)
    assert (running.returncode, err) == (141, b"")


def test_closed_standard_streams_are_no_bug() -> None:
    for closed, code in (("<&-", 2), (">&-", 0), ("2>&-", 0)):
        script = f'exec "{sys.executable}" -m chat_moderator moderate {"" if closed == "<&-" else "hello"} {closed}'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert "bug" not in done.stderr
