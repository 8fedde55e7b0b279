"""``python -m tests.chaos``: random sequences of faults on one seed after the other, or each fault alone (``--each``).

Exit code 0: nothing was lost, changed, fabricated or called complete wrongly, and all was healed after each sequence.
Exit code 1: the seed, its schedule and what was found are printed, and the seed is added to ``seeds.txt``.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.chaos.run import Examiner, Result, files_that_lie, limits_broken
from tests.chaos.schedule import schedule
from tests.chaos.stage import PERP_1M, SPOT_1S, Stage
from tests.chaos.trials import AUDITED_WITHIN_S, TRIALS, Trial

SEEDS = Path(__file__).with_name("seeds.txt")
ROUND_S = 90.0
FAILED = 1


def sequence(seed: int, seconds: float, folder: Path, *, both: bool = False, endless: bool = False) -> dict[str, Any]:
    """One seed on a stage of its own: its result and the judge's counts as JSON values."""
    timeline = schedule(seed, seconds, endless=endless)
    scenes = (SPOT_1S, PERP_1M) if both else (SPOT_1S,)
    with Stage(folder, seed=seed, scenes=scenes) as stage:
        examiners = [Examiner(stage, scene) for scene in scenes]
        for examiner in examiners:
            examiner.settle()
        results = [examiners[0].sequence(f"seed {seed}", timeline, AUDITED_WITHIN_S)]
        results += [examiner.sequence(f"seed {seed}, {examiner.scene.name}", (), AUDITED_WITHIN_S)
                    for examiner in examiners[1:]]  # fmt: skip
        return account(stage, results) | {"seed": seed, "schedule": [f"{one.at_s:6.1f} {one.act}" for one in timeline]}


def account(stage: Stage, results: list[Result]) -> dict[str, Any]:
    """What a stage came to in all."""
    ledger = stage.control.ledger()
    problems = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    problems += limits_broken(ledger)
    for scene in stage.scenes.values():
        problems += files_that_lie(stage, scene)
    return {
        "results": [result.as_dict() for result in results],
        "problems": problems,
        "judge": {name: _numbers(counts) for name, counts in stage.summary()["markets"].items()},
        "exchange": ledger,
    }


def _numbers(counts: dict[str, Any]) -> dict[str, Any]:
    return counts | {"incomplete": len(counts["incomplete"])}


def each(trials: list[Trial], seed: int, folder: Path) -> dict[str, Any]:
    """Every trial alone, one after the other on one stage."""
    scenes = tuple(dict.fromkeys((SPOT_1S, *(trial.scene for trial in trials))))
    with Stage(folder, seed=seed, illiquid_share=0, scenes=scenes) as stage:
        examiners = {scene: Examiner(stage, scene) for scene in scenes}
        for examiner in examiners.values():
            examiner.settle()
        results = []
        for trial in trials:
            results.append(examiners[trial.scene].trial(trial))
            print(line_of(results[-1]), flush=True)
        return account(stage, results)


def line_of(result: Result) -> str:
    """A result for people."""
    text = f"{result.name:32} complete again after {result.seconds:5.1f} s, {result.incomplete} periods incomplete"
    return "\n    ! ".join([text, *result.problems])


def sequences(seed: int, minutes: float, folder: Path) -> tuple[list[dict[str, Any]], bool]:
    """One seed after the other until the time is over, the last one whole; whether all went well."""
    over = time.monotonic() + minutes * 60
    done: list[dict[str, Any]] = []
    while not done or time.monotonic() < over:
        number = len(done)
        seconds = min(ROUND_S, max(20.0, over - time.monotonic()))
        print(f"seed {seed + number}, {seconds:.0f} s", flush=True)
        came = sequence(
            seed + number, seconds, folder / str(seed + number), both=number % 2 == 1, endless=number % 3 == 2
        )
        done.append(came)
        for result in came["results"]:
            print(f"  {result['fault']}: complete again after {result['seconds_to_complete']} s", flush=True)
        if came["problems"]:
            tell_failure(came, seconds)
            return done, False
    return done, True


def tell_failure(came: dict[str, Any], seconds: float) -> None:
    """The seed, the schedule, what was found; and the seed is remembered."""
    print(f"FAILED with seed {came['seed']}", *came["schedule"], *came["problems"], sep="\n  ")
    with SEEDS.open("a", encoding="utf-8") as seeds:
        seeds.write(f"{came['seed']} {seconds:.0f}\n")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first sequence; without it a random one")
    parser.add_argument("--each", nargs="*", metavar="PART_OF_A_NAME", help="each fault alone, or those so called")
    parser.add_argument("--report", type=Path, default=None, help="where the numbers go as JSON")
    parser.add_argument("--keep", type=Path, default=None, help="keep buffers and logs in this folder")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    folder = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    report: Any
    try:
        if options.each is None:
            print(f"seed {seed}")
            report, well = sequences(seed, options.minutes, folder)
        else:
            wanted = [one for one in TRIALS if not options.each or any(word in one.name for word in options.each)]
            report = each(wanted, seed, folder / "each")
            well = not report["problems"]
            print(*report["problems"], json.dumps(report["judge"], ensure_ascii=False), sep="\n")
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if options.report is not None:
        options.report.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0 if well else FAILED


if __name__ == "__main__":
    sys.exit(main())
