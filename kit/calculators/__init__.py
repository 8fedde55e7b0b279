"""Factors of a market on disk: BMAC's two calculators, the period's factors and their store, and the check that what
was computed live equals what the whole history gives."""
