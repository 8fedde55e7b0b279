"""Models that run beside the real thing: any order of events, and what must hold after each of them."""
