"""Text for terminals and logs: nothing in it moves a cursor, starts a line or turns the reading direction."""


def printable(text: str) -> str:
    """The text with everything that is not printable (line ends, control, bidi and escape characters) spelt out."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
