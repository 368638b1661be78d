"""What people and programs say, made a line that every log, message, file and terminal can hold. Refuses nothing."""

_JOINERS = "\u200c\u200d"  # not printable by themselves, and part of words and emoji


def told_text(said: object, max_chars: int) -> str:
    """One line of at most `max_chars` characters: control characters are spaces, what is no character is U+FFFD.

    For words that must not be in the way of what they are said about, such as the reason of an emergency stop: any
    value is taken, bytes as UTF-8. What is cut ends with an ellipsis.
    """
    if isinstance(said, bytes | bytearray | memoryview):
        text = bytes(said[: 8 * max_chars]).decode("utf-8", "replace")
    elif isinstance(said, str):
        text = said[: 8 * max_chars]
    else:
        text = "" if said is None else _text_of(said)[: 8 * max_chars]
    # A lone surrogate, as of an argument that is no UTF-8, becomes U+FFFD; a pair becomes its character.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = " ".join("".join(each if each.isprintable() or each in _JOINERS else " " for each in text).split())
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # whatever somebody's own class does, its words are missing and nothing else
        return ""
