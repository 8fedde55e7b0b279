"""The table of all faults: what each does and which keys of its own it takes. Everything else is derived from here."""

from __future__ import annotations

from dataclasses import dataclass

from kit.embedded_exchange.faults.parameters import Parameter, flag, number, numbers, switch, text, whole, words

MEBIBYTE = 1 << 20
WRONG_EVENTS = ("null", "text_time", "list", "nan", "infinity", "number", "truthy", "no_candle", "array")
MAINTENANCE_FORMS = ("code_0", "239999", "-1016", "-1008")
WRONG_BODIES = ("object", "null", "text", "short_rows", "null_values", "nested_values", "nan_values")


@dataclass(frozen=True)
class Kind:
    """One fault. ``group`` names its seam; ``share_of`` says what ``share`` picks from; ``share`` is its default."""

    name: str
    group: str
    doc: str
    share_of: str
    parameters: tuple[Parameter, ...] = ()
    share: float = 1.0
    counted: bool = True  # `times` makes sense: it does something that can be counted

    def parameter(self, name: str) -> Parameter | None:
        """Its own key of that name."""
        return next((one for one in self.parameters if one.name == name), None)


_FIELDS = ("close", "open", "high", "low", "volume", "quote_volume", "trade_num")
_FIELD = words("field", "close", _FIELDS, "the value that is wrong")
_FACTOR = number("factor", 1.01, "what it is multiplied by; the result is always another number", lowest=0.0)
_EVERY = whole("every_n", 10, "every n-th event of the chosen streams is hit", lowest=1)
_REPEAT = switch("repeat_ms", "again every so many ms while it is on; null: once, and the fault is over", lowest=50)
_NEW = flag("new", "connections that open while it is on are hit, too")
_PATH = text("path", None, "only requests to this path, as /fapi/v1/klines")
_FOR = whole("for_ms", 10_000, "how long after its close a candle is hit", lowest=1)
_BEGINS = numbers("begins", "begin times in ms; null: those of `share`")

_OF_CANDLES = "candles, by symbol and begin time"
_OF_EVENTS = "events"
_OF_CONNECTIONS = "open connections, rounded up"
_OF_ATTEMPTS = "attempts to connect"
_OF_STREAMS = "streams, by name"
_OF_MESSAGES = "SUBSCRIBE messages"
_OF_REQUESTS = "requests"


def _finals() -> tuple[Kind, ...]:
    def kind(name: str, doc: str, *parameters: Parameter) -> Kind:
        return Kind(name, "finals", doc, _OF_CANDLES, parameters)

    return (
        kind("finals_dropped", "The final never comes on the socket; REST has the candle."),
        kind(
            "finals_duplicated",
            "The final comes more than once.",
            whole("copies", 1, "how many times more", lowest=1),
        ),
        kind(
            "finals_out_of_order",
            "Finals are held back by different times, so that they overtake each other.",
            whole("within_ms", 1500, "held back by at most this long", lowest=1),
        ),
        kind(
            "finals_late",
            "The final comes late; its E is the late moment.",
            whole("by_ms", 5000, "how much later than it would have", lowest=1),
        ),
        kind("finals_corrected", "The socket's final has a wrong value; REST is the truth.", _FIELD, _FACTOR),
        kind(
            "finals_corrected_twice",
            "A wrong final, and later on the socket the right one, which is REST's and the truth.",
            _FIELD,
            _FACTOR,
            whole("after_ms", 500, "time between the two", lowest=1),
        ),
        kind(
            "finals_early",
            "A lie: an event with x:true before the close, with what was traded until then; the real one follows.",
            whole("by_ms", 500, "sent once when the close is this near", lowest=1),
        ),
    )


def _frames() -> tuple[Kind, ...]:
    def kind(name: str, doc: str, *parameters: Parameter) -> Kind:
        return Kind(name, "frames", doc, _OF_EVENTS, (_EVERY, *parameters))

    return (
        kind("frames_garbage", "In place of the event, text that is not JSON."),
        kind("frames_truncated", "The event's JSON ends half-way; the WebSocket frame itself is whole."),
        kind(
            "frames_wrong_types",
            "JSON whose values have other types than documented.",
            words("kind", None, WRONG_EVENTS, "which; null: one after the other"),
        ),
        kind("frames_binary", "The event's JSON in a binary frame."),
        kind(
            "frames_oversized",
            "The event with blanks behind it: valid JSON of this size.",
            whole("bytes", 2 * MEBIBYTE, "size of the message", lowest=1, highest=64 * MEBIBYTE),
        ),
    )


def _connections() -> tuple[Kind, ...]:
    def kind(name: str, doc: str, *parameters: Parameter, share_of: str = _OF_CONNECTIONS, share: float = 1.0) -> Kind:
        return Kind(name, "connections", doc, share_of, parameters, share)

    return (
        kind("silence", "Pings are answered and messages read, but nothing else is sent.", _NEW),
        kind("freeze", "Nothing at all, not even pongs or reading; TCP stays open.", _NEW),
        kind("abort", "The connection is cut without a close frame.", _REPEAT),
        kind(
            "refuse",
            "New WebSocket connections are refused.",
            words("how", "http", ("http", "reset"), "503 at the handshake, or a reset"),
            share_of=_OF_ATTEMPTS,
        ),
        kind(
            "close",
            "A close frame.",
            whole("code", 1001, "its code", lowest=1000, highest=4999),
            _REPEAT,
        ),
        kind(
            "server_shutdown",
            "A serverShutdown event, then a close frame (documented for spot since 2026-05).",
            whole("after_ms", 1000, "time between event and close"),
            _REPEAT,
        ),
        kind("forced_disconnect", "The close frame of a connection that is 24 hours old.", _REPEAT),
        kind("never_delivers", "Subscriptions are acknowledged, and nothing comes.", share_of=_OF_STREAMS),
        kind(
            "partial_resubscription",
            "Of the streams subscribed while it is on, only `share` delivers, until they are subscribed anew.",
            share_of="streams that deliver, by name",
            share=0.5,
        ),
        kind(
            "slow_acknowledgement",
            "SUBSCRIBE and UNSUBSCRIBE take effect, and are acknowledged, late.",
            whole("by_ms", 3000, "how late", lowest=1),
            share_of="messages",
        ),
        kind(
            "subscription_error",
            "SUBSCRIBE is answered with an error and has no effect.",
            whole("code", 2, "the error's code", lowest=-10_000, highest=10_000),
            text("msg", "Invalid request: too many parameters", "the error's text"),
            share_of=_OF_MESSAGES,
        ),
    )


def _rest() -> tuple[Kind, ...]:
    def kind(name: str, doc: str, *parameters: Parameter) -> Kind:
        return Kind(name, "rest", doc, _OF_REQUESTS, (*parameters, _PATH))

    return (
        kind(
            "rest_429",
            "429, code -1003.",
            switch("retry_after_s", "the header's value; null: the rest of the minute on spot, no header on futures"),
        ),
        kind(
            "rest_418",
            "418: the address is really banned from the pool until then, on every path.",
            number("ban_s", 10.0, "length of the ban", lowest=0.1),
        ),
        kind("rest_403_html", "403 of the firewall, an HTML page."),
        kind("rest_empty_202", "202 without a body, x-amzn-waf-action: challenge."),
        kind(
            "rest_maintenance",
            "503 (-1016: 400) with a maintenance body.",
            words("form", "code_0", MAINTENANCE_FORMS, "which body"),
        ),
        kind(
            "rest_5xx",
            "A server error: JSON of 500 and 503, the gateway's HTML of 502 and 504.",
            whole("status", 500, "the status", lowest=500, highest=599),
        ),
        kind(
            "rest_timeout",
            "No answer; then 408 with -1007, if the client is still there.",
            whole("for_ms", 30_000, "how long", lowest=1),
        ),
        kind("rest_reset", "The connection is cut in the middle of the body."),
        kind("rest_truncated_json", "A whole HTTP answer whose JSON ends half-way."),
        kind(
            "rest_wrong_types",
            "JSON of another shape than documented.",
            words("kind", None, WRONG_BODIES, "which; null: one after the other"),
        ),
        kind(
            "rest_oversized",
            "The right answer with blanks behind it: valid JSON of this size.",
            whole("bytes", 20 * MEBIBYTE, "size of the body", lowest=1, highest=256 * MEBIBYTE),
        ),
    )


def _klines() -> tuple[Kind, ...]:
    def kind(name: str, doc: str, *parameters: Parameter, counted: bool = True) -> Kind:
        return Kind(name, "klines", doc, _OF_CANDLES, parameters, counted=counted)

    return (
        kind("klines_stale", "REST does not have the candle just closed yet, nor anything after it.", _FOR),
        kind(
            "klines_unfinished",
            "REST has the candle just closed with the values of a moment before its close.",
            _FOR,
            whole("early_ms", 400, "how long before its close", lowest=1),
        ),
        kind("klines_hole_for_a_while", "REST lacks these candles while it is on.", _BEGINS),
        kind(
            "klines_hole",
            "These candles never existed: neither on the socket nor in REST nor in the truth, for good. "
            "Without `begins` those that begin while it is on.",
            _BEGINS,
            counted=False,
        ),
        Kind(
            "quiet",
            "klines",
            "Nobody trades while it is on: flat candles of volume 0 in REST and in the truth, no open events.",
            "symbols",
            (words("kind", "no_frames", ("no_frames", "flat"), "finals of flat candles are sent or not"),),
            counted=False,
        ),
    )


KINDS: dict[str, Kind] = {kind.name: kind for kind in (*_finals(), *_frames(), *_connections(), *_rest(), *_klines())}
