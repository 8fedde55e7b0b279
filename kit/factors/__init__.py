"""Factors: what they are, the shipped ones, and how they are computed from candles that somebody else has read.

Nothing in here reads or writes a file of a market: ``kit.calculators`` does, and hands frames in.
"""
