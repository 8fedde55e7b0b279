"""``python -m kit.embedded_exchange`` as a process."""

import http.client
import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest


@contextmanager
def start(*arguments):
    """The command as a process; killed, if it still runs at the end of the block."""
    command = [sys.executable, "-m", "kit.embedded_exchange", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_leaves_on_a_signal(number):
    with start("--symbols", "3", "--seed", "7", "--finals", "spread:2", "--weight-limit", "77") as process:
        urls = json.loads(process.stdout.readline())
        assert set(urls) == {"spot", "futures"}
        assert urls["spot"]["ws"].startswith("ws://127.0.0.1:")
        asking = http.client.HTTPConnection(urls["futures"]["rest"].removeprefix("http://"), timeout=60)
        asking.request("GET", "/fapi/v1/exchangeInfo")
        assert json.loads(asking.getresponse().read())["rateLimits"][0]["limit"] == 77
        asking.close()
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--finals", "never"], "burst"),
        (["--exchange-info", "moon=x.json"], "cm"),
        (["--exchange-info", "um=/nowhere.json"], "nowhere"),
        (["--replay", "/nowhere/BTCUSDT-1m-2020.csv"], "nowhere"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(arguments, word):
    with start("--symbols", "2", *arguments) as process:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 2
        assert word in complaint
        assert "Traceback" not in complaint
