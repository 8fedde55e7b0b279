"""The kinds of values that config.json holds beyond plain numbers: each checker returns the value or says why not.

A checker raises ``ValueError`` with half a sentence that never repeats what was written: it may hold a secret.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from datetime import timedelta
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from kit.outside import symbol_problem

MIN_TOKEN_CHARS = 16  # chat services' tokens are longer; words of paths and queries are shorter
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
    """A symbol as the exchange spells it: upper case, not only ASCII (``币安人生USDT``)."""
    problem = symbol_problem(text)
    if problem is not None:
        raise ValueError(problem)
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


def turns_verification_off(url: str) -> bool:
    """Whether an apprise URL says ``verify=no`` in one of apprise's spellings: then anybody could read the message."""
    query = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    told = [value.strip().lower() for name, value in query if name.strip(" +-:").lower() == "verify"]
    return any(not value or value[0] in "nf0d" or value.startswith("of") for value in told)


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def secret_parts(url: str) -> list[str]:
    """What in a URL may be secret by itself: the password, a user that has none (a token), long words without dots."""
    rest = url.partition("://")[2]
    user, _, password = re.split(r"[/?#]", rest)[0].rpartition("@")[0].partition(":")
    tokens = [word for word in re.split(r"[/?#&=@:]", rest) if len(word) >= MIN_TOKEN_CHARS and "." not in word]
    return [form for text in (password or user, *tokens) if text for form in {text, unquote(text)}]


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # read for its check alone: a port that is none raises here
    except ValueError:
        # urllib's own words repeat the text
        raise ValueError("it is not an address (host or port unreadable)") from None
    return parts
