"""Telling people: apprise URLs of ``notify`` and BMAC's DingTalk robots of ``dingding``.

targets.py   who is told, out of a config (pure)
dingtalk.py  what DingTalk wants: signature, body, and what its answer means (pure)
plugin.py    those two as an apprise service; the only module, with attempt.py, that imports apprise
attempt.py   one delivery to one target, blocking
sending.py   all targets at once: threads, time-outs, retries, outcomes
"""

from kit.notify.sending import Outcome, Patience, send

__all__ = ["Outcome", "Patience", "send"]
