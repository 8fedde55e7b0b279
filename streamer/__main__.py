"""``python -m streamer``: see ``streamer.command``."""

import os
import signal
import sys

# pyarrow's own allocator reserves 12 MB for tables of which the largest has a tenth of one.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def _leave(*_: object) -> None:
    os._exit(0)


# Before the imports below, which take a second: whoever stops the streamer that early finds it gone, with exit code 0.
for _number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_number, _leave)

import logging  # noqa: E402 - see above

from streamer.command import main  # noqa: E402 - see above

if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that joins the flush thread, which a dead network disk may hold for ever.
    os._exit(code)
