"""DingTalk as an apprise service of our own: ``bmacdingtalk://`` and, in place of apprise's, ``dingtalk://``.

Apprise 1.13's own quotes the signature twice and takes every HTTP 200 for a delivery, so with it an alarm that DingTalk
refused looks sent. The URL's form stays apprise's: ``dingtalk://[secret@]token/[mobile/...][?format=markdown]``.
"""

# mypy: allow-untyped-calls
# (apprise declares itself typed, but half of its methods have no annotations)

from __future__ import annotations

import warnings
from typing import Any, Literal

import requests
from apprise import NotifyFormat, NotifyType
from apprise.manager_plugins import NotificationManager
from apprise.plugins.base import NotifyBase

from kit.config import DINGTALK_HOST
from kit.notify.dingtalk import Verdict, message, robot_url, verdict
from kit.times import now_time
from kit.words import to_ms

MAX_ANSWER_BYTES = 64 * 1024  # a refusal has some 200

SCHEMES = ("bmacdingtalk", "dingtalk")


class DingTalkRobot(NotifyBase):
    """One robot. ``verdict`` holds what became of the last delivery: apprise itself passes on only yes or no."""

    service_name = "DingTalk"  # type: ignore[assignment]  # apprise declares None, and means: set it
    secure_protocol = SCHEMES  # type: ignore[assignment]  # same
    title_maxlen = 250
    body_maxlen = 32_768  # apprise would split longer ones into several messages; dingtalk.message() cuts before that

    def __init__(
        self, token: str, secret: str | None = None, targets: Any = None, endpoint: str = DINGTALK_HOST, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not token:
            raise TypeError("a DingTalk robot needs an access token")  # the type by which apprise knows a bad URL
        self.token = token
        self.secret = secret or None
        self.mobiles = tuple(targets or ())
        self.endpoint = endpoint
        self.verdict = Verdict(False, "nothing was sent")

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **_: Any) -> bool:
        """Deliver one message; what became of it is in ``verdict``."""
        del notify_type  # DingTalk knows no kinds of messages
        form: Literal["text", "markdown"] = "markdown" if self.notify_format == NotifyFormat.MARKDOWN else "text"
        try:
            with requests.post(
                robot_url(self.endpoint, self.token, self.secret, to_ms(now_time())),  # refused when an hour off
                json=message(title, body, form, self.mobiles),
                timeout=self.request_timeout,
                allow_redirects=False,  # the address holds the token: it goes to the host in the config, nowhere else
                stream=True,  # what answers need not be DingTalk: of its body no more is read than one could be
            ) as answer:
                self.verdict = verdict(answer.status_code, next(answer.iter_content(MAX_ANSWER_BYTES), b""))
        except requests.exceptions.SSLError:
            self.verdict = Verdict(False, "its TLS certificate cannot be trusted")
        except requests.RequestException as error:
            self.verdict = Verdict(False, f"not reachable ({type(error).__name__})", transient=True)
        return self.verdict.ok

    def url(self, privacy: bool = False, *_args: Any, **_kwargs: Any) -> str:
        """The URL this was made from, with its secrets hidden if ``privacy``."""
        secret = f"{self.pprint(self.secret, privacy, safe='')}@" if self.secret else ""
        token = self.pprint(self.token, privacy, safe="")
        return f"{SCHEMES[0]}://{secret}{token}/{'/'.join(self.mobiles)}/?format={self.notify_format.value}"

    @staticmethod
    def parse_url(url: str, *_args: Any, **_kwargs: Any) -> dict[str, Any] | None:
        """The arguments of ``__init__`` that a URL holds, or None where it is none."""
        parts = NotifyBase.parse_url(url, verify_host=False)
        if not parts:
            return None
        query = parts["qsd"]
        parts["token"] = NotifyBase.unquote(query.get("token") or parts["host"])
        parts["secret"] = NotifyBase.unquote(query.get("secret") or parts["user"] or "")
        parts["targets"] = NotifyBase.split_path(parts["fullpath"]) + NotifyBase.parse_list(query.get("to", ""))
        return parts


def register() -> None:
    """Make apprise use this class for both schemes; repeating it changes nothing."""
    services = NotificationManager()
    # The first look loads every service that apprise has, and with them modules that warn of their own old age.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ours = services[SCHEMES[1]] is DingTalkRobot
    if not ours:
        services.add(DingTalkRobot, schemas=SCHEMES, force=True)
