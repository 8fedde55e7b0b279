"""Chaos: real processes beside an exchange that fails in every way we know of, and a judge in a process of its own."""
