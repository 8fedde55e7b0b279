"""The kinds of values that config.json holds beyond plain numbers: each checker returns the value or says why not.

A checker raises ``ValueError`` with half a sentence that never repeats what was written: it may hold a secret.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta
from urllib.parse import SplitResult, unquote, urlsplit

MIN_TOKEN_CHARS = 16  # chat services' tokens are longer; words of paths and queries are shorter
MAX_SYMBOL_CHARS = 64  # the longest known (delivery contracts of 1000... coins) has under 30
_DURATION = re.compile(r"(\d{1,6})([smhd])")
_UNIT = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def parse_duration(text: str) -> timedelta:
    """``"5m"`` as five minutes; units are s, m, h and d."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("it is not a whole number followed by s, m, h or d")
    return int(match[1]) * _UNIT[match[2]]


def checked_symbol(text: str) -> str:
    """A symbol as the exchange spells it: upper case, not only ASCII (``币安人生USDT``), safe as a part of a path."""
    if not text or len(text) > MAX_SYMBOL_CHARS:
        raise ValueError(f"it has not 1 to {MAX_SYMBOL_CHARS} characters")
    if any(char in "/\\" or unicodedata.category(char)[0] in "CZ" for char in text) or set(text) == {"."}:
        raise ValueError("it has spaces, control characters or path separators")
    if text != text.upper():
        raise ValueError("the exchange spells its symbols in upper case")
    return text


def checked_url(text: str, schemes: tuple[str, ...], *, user_info: bool) -> str:
    """An address with one of ``schemes`` and a host, without query and fragment; a slash at its end is dropped.

    ``user_info``: whether ``user:password@`` may stand before the host.
    """
    if any(unicodedata.category(char)[0] in "CZ" for char in text):
        raise ValueError("it has spaces or control characters")
    parts = _split(text)
    if parts.scheme not in schemes:
        raise ValueError(f"it does not start with {', '.join(f'{scheme}://' for scheme in schemes)}")
    if not parts.hostname:
        raise ValueError("it names no host")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("it has a query or a fragment")
    if "@" in parts.netloc and not user_info:
        raise ValueError("it has a user name or password")
    return text.rstrip("/")


def secret_parts(url: str) -> list[str]:
    """What in a URL may be secret by itself: the password, and long words without dots (tokens)."""
    rest = url.partition("://")[2]
    password = re.split(r"[/?#]", rest)[0].rpartition("@")[0].partition(":")[2]
    tokens = [word for word in re.split(r"[/?#&=@:]", rest) if len(word) >= MIN_TOKEN_CHARS and "." not in word]
    return [form for text in (password, *tokens) if text for form in {text, unquote(text)}]


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # read for its check alone: a port that is none raises here
    except ValueError:
        # urllib's own words repeat the text
        raise ValueError("it is not an address (host or port unreadable)") from None
    return parts
