"""Text on its way to a terminal: what comes from files may not steer it."""

from collections.abc import Iterable, Sequence

SHOWN = 8
"""Items that are told of a longer list."""


def printable(text: str) -> str:
    r"""`text` in one line, every character that prints nothing or steers as an escape such as `\x1b`."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def some(items: Sequence[str] | Iterable[str]) -> str:
    """The items joined by commas; of many the first, and how many more there are."""
    items = list(items)
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def short(text: str, most: int = 100) -> str:
    """The text, its middle left out where it is longer than `most`."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 3 :]}"
