"""Composes chat lines from parts, for augmentation: `python -m training.grammar --count 1000 --seed 1`.

A context-free grammar of our own; `grammar_rules/LANGUAGE.txt` holds the rules. Its lines are made, not written: they
are no part of the corpus and nothing is measured on them.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS
from training.rows import LETTERS, Row, mask

RULES: Final = Path(__file__).parent / "grammar_rules"
SOURCE: Final = "grammar"

_HEAD: Final = re.compile(r"\[(\w+)(?: (ok|bad|care) (-|[a-z]+))?\]")
_PART: Final = re.compile(r"\{(\w+)(\?)?\}")
_PATIENCE: Final = 50  # tries for a line that was not composed before

app = typer.Typer(add_completion=False)


class _Start(NamedTuple):
    phenomenon: str
    verdict: str
    letters: str


class Grammar:
    """Rules: alternatives for each part, and starts that are whole lines with their verdict and labels.

    Args:
        path: a file of rules, named for its language.

    Raises:
        ConfigError: the rules cannot be read; the line is named.
    """

    def __init__(self, path: Path = RULES / "en.txt") -> None:
        self.language = path.stem
        self._parts: dict[str, list[str]] = {}
        self._starts: list[_Start] = []
        begun = ""
        for number, raw in enumerate(path.read_text("utf-8").splitlines(), start=1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            head = _HEAD.fullmatch(line)
            if head:
                begun, verdict, letters = head[1], head[2], head[3]
                if begun in self._parts:
                    raise ConfigError(f"{path}:{number}", f"{begun} was begun before")
                self._parts[begun] = []
                if verdict:
                    self._starts.append(_Start(begun, verdict, letters.strip("-")))
            elif line.startswith("[") or not begun:
                raise ConfigError(f"{path}:{number}", "expected [part] or [phenomenon verdict labels]")
            else:
                self._parts[begun].append(line)
        used = {name for lines in self._parts.values() for line in lines for name, _ in _PART.findall(line)}
        if missing := used - self._parts.keys():
            raise ConfigError(str(path), f"there is no part {min(missing)!r}")

    @property
    def rules(self) -> int:
        """How many alternatives there are."""
        return sum(map(len, self._parts.values()))

    def compose(self, count: int, seed: int) -> Iterator[Row]:
        """Different lines, each phenomenon in its turn; the same for the same seed. Fewer where rules run out."""
        chance = random.Random(seed)
        seen: set[str] = set()
        for number in range(count):
            start = self._starts[number % len(self._starts)]
            for _ in range(_PATIENCE):
                text = mask(" ".join(self._expand(f"{{{start.phenomenon}}}", chance).split()))
                if text.casefold() not in seen:
                    break
            else:
                continue
            seen.add(text.casefold())
            given = {LETTERS[letter] for letter in start.letters}
            yield Row(
                id=f"{SOURCE}/{self.language}/{start.phenomenon}:{seed}:{number}",
                text=text,
                source=SOURCE,
                language=self.language,
                labels=[float(label in given) for label in LABELS],
                part="train",
                functionality=start.phenomenon,
                verdict=start.verdict,
            )

    def _expand(self, text: str, chance: random.Random) -> str:
        def fill(match: re.Match[str]) -> str:
            name, optional = match[1], match[2]
            if optional and chance.random() < 0.5:
                return ""
            return self._expand(chance.choice(self._parts[name]), chance)

        return _PART.sub(fill, text)


def compose_all(count: int, seed: int, rules: Path = RULES) -> Iterator[Row]:
    """At most `count` lines of each language, twice that in English, which has the most rules."""
    for path in sorted(rules.glob("*.txt")):
        yield from Grammar(path).compose(count * (2 if path.stem == "en" else 1), seed)


@app.command()
def main(
    count: Annotated[int, typer.Option(min=1, help="At most so many lines.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another one composes other lines.")] = 1,
    language: Annotated[str, typer.Option(help="One of those that have rules.")] = "en",
) -> None:
    """Prints composed lines in the corpus's format: verdict, labels, text."""
    letters = {label: letter for letter, label in LETTERS.items()}
    path = RULES / f"{language}.txt"
    if not path.is_file():
        raise typer.BadParameter(
            f"{language!r} is none of {', '.join(sorted(each.stem for each in RULES.glob('*.txt')))}"
        )
    for row in Grammar(path).compose(count, seed):
        said = "".join(letters[label] for label, value in zip(LABELS, row.labels, strict=True) if value) or "-"
        print(f"{row.verdict}\t{said}\t{row.text}")


if __name__ == "__main__":
    app()
