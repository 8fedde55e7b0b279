"""Every duration and limit the streamer goes by, with its reason, in one frozen value.

Tests shorten them; production uses the defaults. All ``*_s`` are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Durations in seconds. Facts about the exchange: docs/exchange.md."""

    open_within_s: float = 10.0  # TCP, TLS and the upgrade together
    close_within_s: float = 1.0  # the closing handshake; the whole process must be gone within 5 s of SIGTERM
    tick_s: float = 0.25  # how often watchdogs look and control messages go out

    own_pause_s: float = 2.0  # eight ticks late: this process was stopped, and its sockets have not been read yet
    first_frame_within_s: float = 10.0  # a live futures stream sends 4 frames a second; a wrong route sends none, ever
    silent_after_s: float = 20.0  # a market of hundreds of streams is never that quiet
    silence_cap_s: float = 120.0  # a truly quiet market is reconnected at most this often
    calm_after_s: float = 600.0  # so long without such a silence, and patience is back at its start

    stream_first_frame_within_s: float = 60.0  # illiquid spot pairs may trade less than once a minute
    stream_slack_s: float = 60.0  # on top of the interval: the final comes seconds after the close, or never
    stream_patience_cap_s: float = 3600.0  # a quiet stream is re-subscribed at most hourly
    moves_after: int = 2  # remedies on one connection before the stream is tried on another

    messages_per_second: int = 3  # spot closes at more than 5, and our pongs count among them
    max_message_bytes: int = 4000  # 4088 were answered, 4106 met silence
    answer_within_s: float = 10.0  # an unanswered SUBSCRIBE is sent again
    list_every_s: float = 600.0  # LIST_SUBSCRIPTIONS as a check, even when nothing changed

    backoff_first_s: float = 0.5
    backoff_cap_s: float = 30.0
    refused_floor_s: float = 15.0  # 403, 418, 429, 451: asking on at once makes it worse
    healthy_life_s: float = 10.0  # a connection that delivered for so long was sound: its loss costs no waiting
    opens_per_second: float = 5.0  # a start is a burst, and the exchange's front should not see one
    opens_in_five_minutes: int = 240  # spot allows 300 attempts from one address; the rest is for other programs

    rotate_after_s: float = 23 * 3600.0  # the exchange ends every connection at 24 h
    rotate_jitter_s: float = 3600.0  # taken off, per connection, so that not all rotate at once
    overlap_s: float = 5.0  # both sockets of a rotation stay open at least so long
    overlap_cap_s: float = 600.0  # a replacement not delivering by then is thrown away and tried again
    nearly_all: float = 0.98  # of the streams that the old socket still delivers; the rest may be quiet by chance

    gather_s: float = 0.008  # a burst has ebbed when nothing new came for so long
    gather_at_most_s: float = 0.016  # from the first pending candle to the first flush
    flush_every_s: float = 0.035  # between flushes while finals keep coming: 4 MB a period when spread over 5 s
    flush_share: float = 0.5  # of the time at most is spent flushing: a slow disk gets fewer, larger writes
    flush_pause_cap_s: float = 1.0
    disk_retry_first_s: float = 0.2
    disk_retry_cap_s: float = 5.0
    leave_within_s: float = 2.0  # for the last flush; the sockets have closed by then
    max_pending: int = 200_000  # candles kept in memory while the disk hangs: 4 h of 750 symbols at 1m, about 100 MB

    standby_look_s: float = 0.25  # at the lock of a folder that another streamer holds: two system calls
    leaving_slack_s: float = 10.0  # past its last close; of recorded finals the latest came 2 s after it
    look_every_s: float = 1.0  # at the exchange info on disk: one stat of a folder
    fetch_retry_first_s: float = 1.0  # the one REST call, when there is no exchange info yet
    fetch_retry_cap_s: float = 60.0
    status_every_s: float = 5.0
    worker_look_s: float = 5.0  # at the heartbeat of the flows' worker
    unattended_look_s: float = 30.0  # at a market without a worker: some milliseconds for the disk
    watch_every_s: float = 60.0  # while something is to be told: a child costs a second of CPU, once a minute
    late_after_s: float = 5.0  # a final this long after its close is counted late and logged
