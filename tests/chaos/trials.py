"""Each fault alone: what is done, and what must hold after it and one more period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tests.chaos.acts import Act, fault
from tests.chaos.schedule import SPOT_SYMBOLS
from tests.chaos.stage import PERP_1M, SPOT_1S, Scene

TWO = SPOT_SYMBOLS[:2]
SPOT_KLINES = "/api/v3/klines"
HEALED_WITHIN_S = 90.0
"""Several periods of the stage's flow on a machine that is busy with other things; what was measured is far less."""

AUDITED_WITHIN_S = 300.0
"""A wrong final is found when the audit's turn comes to its symbol: half of what is kept, 240 s, and some for a busy
machine."""

CONFIRMED_WITHIN_S = 150.0
"""A candle that the exchange does not have is believed not to exist after a minute's patience."""

FIREWALL_S = 350.0
"""After a 403 of its firewall nobody asks the exchange anything for five minutes."""

REST_DOWN_S = 10.0
"""Two periods of the stage's flow and the patience of one, so that a period must end without an answer."""


@dataclass(frozen=True)
class Trial:
    """``acts`` begin together. ``incomplete``: whether the ledger may, or must, call a period incomplete meanwhile;
    ``missing``: the only symbols that it may name then (empty: any)."""

    name: str
    acts: tuple[Act, ...]
    incomplete: Literal["may", "must"] = "may"
    missing: frozenset[str] = frozenset()
    healed_within_s: float = HEALED_WITHIN_S
    scene: Scene = SPOT_1S


def _alone(name: str, lasts_s: float = 6.0, *, healed_within_s: float = HEALED_WITHIN_S, **keys: Any) -> Trial:
    words = [str(value) for key, value in keys.items() if key in ("by_ms", "how", "kind")]
    acts = (fault(name, lasts_s, **keys),)
    return Trial(" ".join([name, *words]), acts, healed_within_s=healed_within_s)


def _needing_rest(name: str, healed_within_s: float = HEALED_WITHIN_S, **keys: Any) -> Trial:
    """Two symbols come by REST only, and REST is ill: for as long as it is, just these two are missing."""
    acts = (fault("finals_dropped", REST_DOWN_S, symbols=TWO), fault(name, REST_DOWN_S, **keys))
    words = [str(value) for key, value in keys.items() if key in ("status", "form")]
    return Trial(" ".join([name, *words]), acts, "must", frozenset(TWO), healed_within_s)


def _late_rest(name: str, **keys: Any) -> Trial:
    """The same with klines that are not right yet: REST answers, but not with what is true in the end."""
    return Trial(name, (fault("finals_dropped", 6.0, symbols=TWO), fault(name, 6.0, **keys)))


def _connections(how: str, **keys: Any) -> Trial:
    return Trial(f"connections end: {how}", (Act("connections", how, tuple(keys.items())),))


FINALS = (
    _alone("finals_dropped", symbols=TWO),
    _alone("finals_duplicated", symbols=TWO, copies=3),
    _alone("finals_out_of_order", within_ms=1500),
    _alone("finals_late", symbols=TWO, by_ms=4000),
    _alone("finals_late", symbols=TWO, by_ms=15_000),
    _alone("finals_corrected_twice", symbols=TWO),
    _alone("finals_corrected", symbols=TWO, healed_within_s=AUDITED_WITHIN_S),
    _alone("finals_early", symbols=TWO, by_ms=300, healed_within_s=AUDITED_WITHIN_S),
)
FRAMES = tuple(
    _alone(name, every_n=3, **keys)
    for name, keys in {
        "frames_garbage": {},
        "frames_truncated": {},
        "frames_wrong_types": {},
        "frames_binary": {},
        "frames_oversized": {"bytes": 2_000_000},
    }.items()
)
CONNECTIONS = (
    _alone("silence", 25.0),
    _alone("freeze", 25.0),
    _alone("abort"),
    _alone("refuse", 10.0, how="http"),
    _alone("close", code=1008),
    _alone("server_shutdown", 3.0),
    _alone("forced_disconnect", 3.0),
    _alone("never_delivers", 25.0, share=0.5),
    Trial("partial_resubscription", (fault("partial_resubscription", 12.0, share=0.5), Act("connections", "abort"))),
    Trial("slow_acknowledgement", (fault("slow_acknowledgement", 8.0, by_ms=3000), Act("connections", "abort"))),
    Trial("subscription_error", (fault("subscription_error", 6.0), Act("connections", "abort"))),
    Trial("refused after an abort", (fault("refuse", 8.0, how="reset"), Act("connections", "abort"))),
)
REST = (
    _needing_rest("rest_429", retry_after_s=3),
    _needing_rest("rest_418", ban_s=6),
    _needing_rest("rest_empty_202"),
    _needing_rest("rest_maintenance", form="239999"),
    _needing_rest("rest_5xx", status=503),
    _late_rest("rest_timeout"),  # one period of the stage is over before it has timed out often enough
    _needing_rest("rest_reset"),
    _needing_rest("rest_truncated_json"),
    _needing_rest("rest_wrong_types"),
    _late_rest("rest_oversized", bytes=5_000_000, path=SPOT_KLINES),
    _late_rest("klines_stale", for_ms=6000),
    _late_rest("klines_unfinished", for_ms=6000),
    _late_rest("klines_hole_for_a_while", symbols=TWO),
)
MARKET = (
    _alone("klines_hole", 3.0, symbols=TWO, healed_within_s=CONFIRMED_WITHIN_S),
    _alone("quiet", 6.0, kind="no_frames"),
    _alone("quiet", 6.0, kind="flat"),
    Trial(
        "listing in mid-period",
        (Act("market", "list", (("venue", "spot"), ("symbol", "CHAOSUSDT"), ("like", "XRPUSDT"))),),
        healed_within_s=CONFIRMED_WITHIN_S,
    ),
    Trial("delisting", (Act("market", "delist", (("venue", "spot"), ("symbol", "DOGEUSDT"))),)),
    Trial("halt", (Act("market", "halt", (("venue", "spot"), ("symbol", "ADAUSDT"))),)),
    Trial(
        "resumption",
        (Act("market", "resume", (("venue", "spot"), ("symbol", "ADAUSDT"))),),
        healed_within_s=CONFIRMED_WITHIN_S,
    ),
    # Of a spot pair the exchange does not say when it was listed: only a contract can be seen to come back as another.
    Trial(
        "delisting of a contract",
        (Act("market", "delist", (("venue", "um"), ("symbol", "DOGEUSDT")), lasts_s=130.0),),
        healed_within_s=CONFIRMED_WITHIN_S,
        scene=PERP_1M,
    ),
    Trial(
        "relisting of a contract",
        (Act("market", "relist", (("venue", "um"), ("symbol", "DOGEUSDT"), ("seed", 99)), lasts_s=130.0),),
        healed_within_s=AUDITED_WITHIN_S,
        scene=PERP_1M,
    ),
)
PROCESSES = (
    Trial("streamer killed", (Act("kill", "streamer", lasts_s=4.0),)),
    Trial("flow killed", (Act("kill", "flow", lasts_s=4.0),)),
    Trial("both killed", (Act("kill", "flow", lasts_s=4.0), Act("kill", "streamer", lasts_s=4.0))),
    Trial("streamer paused", (Act("pause", "streamer", lasts_s=15.0),)),
    Trial("flow paused", (Act("pause", "flow", lasts_s=15.0),)),
    Trial("exchange's clock 1.9 s ahead", (Act("skew", "clock", (("skew_ms", 1900),), 8.0),)),
    Trial("exchange's clock 0.9 s behind", (Act("skew", "clock", (("skew_ms", -900),), 8.0),)),
)
FIREWALL = (_needing_rest("rest_403_html", FIREWALL_S),)
TRIALS = (*FINALS, *FRAMES, *REST, *CONNECTIONS, *PROCESSES, *MARKET, *FIREWALL)
