"""A page with one reliability plot a label: how often what got a score was what the score says. No scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from chat_moderator.cli.measures import Bin

_SIZE: Final = 200
_MARGIN: Final = 34
_STYLE: Final = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; } figcaption { text-align: center; }
.axis { stroke: #888; fill: none; } .even { stroke: #bbb; stroke-dasharray: 4; } .dot { fill: #1f5fa8; }
.line { stroke: #1f5fa8; fill: none; } text { font-size: 11px; fill: #555; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } text { fill: #aaa; }
  .dot { fill: #7db3f0; } .line { stroke: #7db3f0; } }
"""


def page(title: str, plots: Mapping[str, tuple[float, Sequence[Bin | None]]]) -> str:
    """HTML; `plots` holds for each label its calibration error and its bins."""
    figures = "\n".join(_figure(label, error, bins) for label, (error, bins) in plots.items())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        "<p>Each dot is a tenth of the scale: its mean score, and the share of its texts that have the label. On the "
        "broken line scores are probabilities. Larger dots hold more texts.</p>\n"
        f"<main>\n{figures}\n</main></body></html>\n"
    )


def _figure(label: str, error: float, bins: Sequence[Bin | None]) -> str:
    found = [each for each in bins if each]
    most = max((each.texts for each in found), default=1)
    places = [(_across(each.score), _up(each.positive), each) for each in found]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{2 + 5 * (each.texts / most) ** 0.5:.1f}">'
        f"<title>{each.texts:,} texts, score {each.score:.3f}, share {each.positive:.3f}</title></circle>"
        for x, y, each in places
    )
    side, edge = _SIZE + 2 * _MARGIN, _MARGIN + _SIZE
    return (
        f'<figure><svg width="{side}" height="{side}" role="img" aria-label="reliability of {escape(label)}">'
        f'<rect class="axis" x="{_MARGIN}" y="{_MARGIN}" width="{_SIZE}" height="{_SIZE}"/>'
        f'<line class="even" x1="{_MARGIN}" y1="{edge}" x2="{edge}" y2="{_MARGIN}"/>'
        f'<polyline class="line" points="{line}"/>{dots}'
        f'<text x="{_MARGIN}" y="{edge + 14}">0</text><text x="{edge - 8}" y="{edge + 14}">1</text>'
        f'<text x="{_MARGIN + _SIZE / 2 - 14}" y="{edge + 14}">score</text>'
        f'<text x="4" y="{_MARGIN + _SIZE / 2}">share</text></svg>'
        f"<figcaption>{escape(label)}, error {error:.3f}</figcaption></figure>"
    )


def _across(share: float) -> float:
    return _MARGIN + share * _SIZE


def _up(share: float) -> float:
    return _MARGIN + (1 - share) * _SIZE
