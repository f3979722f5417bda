"""The report of `compare`: one HTML file that loads nothing."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from chat_moderator.cli.agreement import THRESHOLDS, Agreement

SIZE: Final = 260
MARGIN: Final = 36
DOTS: Final = 3000
"""Texts that are drawn; more would only be one blot."""

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: 1rem 0; }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; } figcaption { max-width: 18rem; font-size: 13px; }
table { border-collapse: collapse; }
td, th { padding: 0 .8rem 0 0; text-align: right; font-variant-numeric: tabular-nums; }
svg { overflow: visible; } text { font-size: 11px; fill: currentColor; }
.axis { stroke: currentColor; stroke-opacity: .4; fill: none; }
.ours { stroke: #0a6ebd; fill: none; stroke-width: 2; } .theirs { stroke: #c2410c; fill: none; stroke-width: 2; }
.dot { fill: #0a6ebd; fill-opacity: .35; }
:root { color-scheme: light dark; }
"""


def page(found: Sequence[Agreement], refusals: Mapping[str, int]) -> str:
    """The report."""
    refused = "".join(f"<li>{count:,} texts: {escape(reason)}</li>" for reason, count in refusals.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>chat-moderator and Perspective</title><style>{_STYLE}</style></head><body>\n"
        "<h1>chat-moderator and Perspective</h1>\n"
        "<p>Each text was scored by both. At a threshold they agree where both are at or above it, or both below.</p>\n"
        f"{''.join(map(_section, found))}"
        f"{f'<section><h2>Refused by Perspective</h2><ul>{refused}</ul></section>' if refused else ''}"
        "</body></html>\n"
    )


def _section(each: Agreement) -> str:
    rows = "".join(
        f"<tr><th>{threshold:.2f}</th><td>{ours:.2%}</td><td>{theirs:.2%}</td><td>{each.agreeing(threshold):.2%}</td></tr>"
        for threshold in THRESHOLDS
        for ours, theirs in [each.above(threshold)]
    )
    return (
        f"<section><h2>{escape(each.attribute)}</h2>"
        f"<p>{each.texts:,} texts, rank correlation {each.correlation:.3f}, "
        f"mean difference {each.difference:+.3f}.</p>"
        f'<div class="plots">{_dots(each)}{_shares(each)}{_agreeing(each)}</div>'
        "<details><summary>By threshold</summary><table><tr><th>threshold</th><th>ours at or above</th>"
        f"<th>Perspective's</th><th>agree</th></tr>{rows}</table></details></section>\n"
    )


def _dots(each: Agreement) -> str:
    step = -(-each.texts // DOTS)
    dots = "".join(
        f'<circle class="dot" cx="{_x(theirs)}" cy="{_y(ours)}" r="2"/>'
        for ours, theirs in zip(each.ours[::step].tolist(), each.theirs[::step].tolist(), strict=True)
    )
    diagonal = f'<path class="axis" d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke-dasharray="4"/>'
    return _figure("Each dot is a text: Perspective's score to the right, ours upwards.", diagonal + dots)


def _shares(each: Agreement) -> str:
    both = [(threshold, *each.above(threshold)) for threshold in THRESHOLDS]
    lines = _line("ours", ((threshold, ours) for threshold, ours, _ in both))
    lines += _line("theirs", ((threshold, theirs) for threshold, _, theirs in both))
    return _figure("The share of texts at or above each threshold: ours blue, Perspective's orange.", lines)


def _agreeing(each: Agreement) -> str:
    line = _line("ours", ((threshold, each.agreeing(threshold)) for threshold in THRESHOLDS))
    return _figure("The share of texts on which both agree, by threshold.", line)


def _line(kind: str, points: Iterator[tuple[float, float]]) -> str:
    path = "L".join(f"{_x(across)} {_y(upwards)}" for across, upwards in points)
    return f'<path class="{kind}" d="M{path}"/>'


def _figure(caption: str, content: str) -> str:
    side = SIZE + 2 * MARGIN
    marks = "".join(
        f'<text x="{_x(mark)}" y="{_y(0) + 16}" text-anchor="middle">{mark:g}</text>'
        f'<text x="{_x(0) - 6}" y="{_y(mark) + 4}" text-anchor="end">{mark:g}</text>'
        for mark in (0, 0.5, 1)
    )
    frame = f'<rect class="axis" x="{MARGIN}" y="{MARGIN}" width="{SIZE}" height="{SIZE}"/>'
    return (
        f'<figure><svg width="{side}" height="{side}" role="img" aria-label="{escape(caption)}">'
        f"{frame}{marks}{content}</svg><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _x(value: float) -> float:
    return round(MARGIN + SIZE * value, 1)


def _y(value: float) -> float:
    return round(MARGIN + SIZE * (1 - value), 1)
