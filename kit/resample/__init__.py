"""Longer candles with every offset, made of a market's own (docs/decisions/resampling.md).

The flow calls ``kit.resample.update.update_resample`` once a period; readers use ``kit.resample.read.read_resample`` or
a ``kit.resample.reader.ResampleReader``. Nothing is imported here: the flow should not pay for pandas.
"""
