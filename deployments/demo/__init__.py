"""``make demo``: the whole service against the embedded exchange, on this machine, started and ended by one command."""
