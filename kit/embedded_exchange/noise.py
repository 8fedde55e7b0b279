"""Numbers that look random but are a pure function of a key and a place: hashed, so any place costs the same to reach.

A candle of last year and one of this minute are computed alike, without a history in between; that is what lets the
exchange answer any page of any symbol at once and answer the same again after a restart.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

# Octaves of the price walk, in minutes, as powers of two: 1, 4, 16 ... 262144 minutes (half a year). Amplitudes grow
# with the
# square root of the period, as a random walk's range does, so 1m and 1d candles both have plausible sizes.
_OCTAVE_SHIFTS = tuple(range(0, 20, 2))
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def key_of(*parts: object) -> int:
    """A 64-bit key for these words; the same on every machine and in every process (``hash()`` is not)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def fraction_of(*parts: object) -> float:
    """A number in [0, 1) for these words."""
    return key_of(*parts) / 2**64


def hashes(key: int, first: int, count: int) -> U64:
    """64 random bits for each of the places ``first`` ... ``first + count - 1`` (the splitmix64 generator, counted)."""
    start = (key + first * _GOLDEN) & _MASK
    bits = np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(start)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits


def fractions(bits: U64, low_bit: int, width: int) -> F64:
    """``width`` bits of each hash as a number in [0, 1). Different bits of one hash are independent draws."""
    return ((bits >> np.uint64(low_bit)) & np.uint64((1 << width) - 1)).astype(np.float64) * (1.0 / (1 << width))


def walk(key: int, first: int, count: int) -> F64:
    """A wandering line, dimensionless, one value a minute, steps of about one unit: the logarithm of a made-up price.

    Sum of octaves of hashed values, each joined by straight lines; closed form, so no place depends on the one before.
    """
    minutes = np.arange(first, first + count, dtype=np.int64)
    total = np.zeros(count)
    for shift in _OCTAVE_SHIFTS:
        low = first >> shift
        cells = ((first + count - 1) >> shift) - low + 2
        knots = fractions(hashes(key ^ (shift * 0x5851F42D), low, cells), 8, 32)
        knots -= 0.5
        knots *= 2.0 * math.sqrt(1 << shift)
        if shift == 0:
            total += knots[:count]
            continue
        cell = (minutes >> shift) - low
        along = (minutes & ((1 << shift) - 1)) * (1.0 / (1 << shift))
        total += knots[cell]
        along *= np.diff(knots)[cell]
        total += along
    return total
