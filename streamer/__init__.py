"""The light, long-lived half: WebSocket frames in, closed candles in the buffer.

The path of a candle: ``wire`` (a socket's bytes become frames) -> ``connection`` (one socket's life) ->
``intake`` (a frame becomes a checked candle) -> ``flusher`` (the writer's disk work, never waited for by a socket).
Which stream is read by which socket: ``universe`` (what the market lists) -> ``assignment`` -> ``route`` -> ``slot``.
"""
