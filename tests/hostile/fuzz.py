"""``python -m tests.hostile.fuzz [--seconds 60] [--target NAME ...]``: coverage-guided fuzzing of every decoder.

Each decoder is fuzzed in a process of its own (libFuzzer never returns) for its share of the seconds, with at most
2 GB of memory and 10 s for one input. A finding is printed with its bytes; the exit code is the number of decoders
that have one. Needs atheris, which exists on Linux; elsewhere hypothesis has to do (test_decoders.py).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LIMITS = ("-rss_limit_mb=2048", "-timeout=10", "-max_len=4096", "-print_final_stats=1", "-verbosity=1")
PACKAGES = ["kit", "streamer"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", action="append", default=[], help="only this decoder; may be repeated")
    parser.add_argument("--findings", type=Path, default=None, help="folder that keeps the bytes of each finding")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        fuzz(options.inside, options.seconds, options.findings)
        return 0  # never reached: libFuzzer leaves the process
    from tests.hostile.decoders import all_decoders  # noqa: PLC0415 - in the child it is instrumented while imported

    known = list(all_decoders())
    unknown = set(options.target) - set(known)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))} (there are: {', '.join(known)})")
    targets = options.target or known
    each = max(1, options.seconds // len(targets))
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for target in targets:
            failed += _run(target, each, options.findings or Path(scratch))
    return failed


def _run(target: str, seconds: int, findings: Path) -> bool:
    """Fuzz one decoder in a child; whether it has a finding."""
    findings.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--inside", target, "--seconds", str(seconds)]
    done = subprocess.run(
        [*command, "--findings", str(findings)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    told = done.stdout.decode("utf-8", "backslashreplace")
    executed = re.search(r"number_of_executed_units:\s*(\d+)", told)
    count = executed[1] if executed else "?"
    sys.stdout.write(f"{target:22} {count:>9} inputs  {'FINDING' if done.returncode else 'nothing'}\n")
    if done.returncode:
        sys.stdout.write(_interesting(told))
    sys.stdout.flush()
    return done.returncode != 0


def _interesting(told: str) -> str:
    """The traceback and the input of a finding, without the fuzzer's own chatter."""
    start = max(told.find("=== Uncaught Python exception"), 0) or max(told.find("ERROR:"), 0)
    return told[start : start + 6000]


def fuzz(target: str, seconds: int, findings: Path) -> None:
    """In the child: hand one decoder to libFuzzer for so long."""
    import atheris  # noqa: PLC0415 - only where it is installed

    with atheris.instrument_imports(include=PACKAGES):
        from tests.hostile.decoders import all_decoders, refusal_of, silence  # noqa: PLC0415 - imported instrumented

    decoder = all_decoders()[target]
    with tempfile.TemporaryDirectory() as corpus, silence():
        for number, example in enumerate(decoder.examples):
            Path(corpus, str(number)).write_bytes(example)
        flags = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={findings}{os.sep}{target}-", corpus]
        atheris.Setup([sys.argv[0], *flags], lambda data: refusal_of(decoder, data))
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
