"""Runs trials and sequences on a stage, and says what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from tests.chaos.acts import Timed, play
from tests.chaos.stage import Scene, Stage
from tests.chaos.trials import Trial

SETTLED_WITHIN_S = 200.0
CONNECTIONS_IN_5_MIN = 300  # attempts that spot allows an address
UNDER_WAY = 7  # requests that may have been sent before the answer to the eighth told of a ban


@dataclass(frozen=True)
class Result:
    """What came of one trial or sequence. ``problems``: sentences, empty when all was well; ``seconds``: from the end
    of the last fault until the buffer was the truth and the ledger complete; ``incomplete``: periods so called."""

    name: str
    seconds: float
    incomplete: int
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "fault": self.name,
            "seconds_to_complete": round(self.seconds, 1),
            "incomplete_periods": self.incomplete,
            "problems": list(self.problems),
        }


@dataclass
class Examiner:
    """Plays on a stage and asks its judge. Findings and incomplete periods are told once, with what caused them."""

    stage: Stage
    scene: Scene
    _findings: int = 0
    _incomplete: set[str] = field(default_factory=set)

    def settle(self) -> None:
        """Wait until the market is complete at the beginning. AssertionError when it never is."""
        _, problems = self.stage.wait_healed(self.scene, SETTLED_WITHIN_S)
        assert not problems, f"never complete before any fault: {problems}"
        self._news()

    def trial(self, trial: Trial) -> Result:
        """One fault alone."""
        timeline = [Timed(0.0, act) for act in trial.acts]
        result = self.sequence(trial.name, timeline, trial.healed_within_s, trial.missing)
        if trial.incomplete == "must" and not result.incomplete:
            problem = "no period was called incomplete, although candles could not be had"
            return replace(result, problems=(*result.problems, problem))
        return result

    def sequence(
        self, name: str, timeline: Sequence[Timed], healed_within_s: float, missing: Iterable[str] = ()
    ) -> Result:
        """Acts at their times, then one more period or so. ``missing``: the only symbols the ledger may name then."""
        play(self.stage, timeline)
        seconds, unhealed = self.stage.wait_healed(self.scene, healed_within_s)
        findings, incomplete = self._news()
        problems = [str(finding) for finding in findings]
        if unhealed:
            problems.append(f"not healed {seconds:.0f} s after the last fault: {'; '.join(unhealed[:6])}")
        allowed = set(missing)
        innocent = {name for names in incomplete.values() for name in names} - allowed
        if allowed and innocent:
            problems.append(f"the ledger names {sorted(innocent)} as missing, where only {sorted(allowed)} were")
        return Result(name, seconds, len(incomplete), tuple(problems))

    def _news(self) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
        """Findings and incomplete periods since the last time."""
        summary = self.stage.summary()
        market = summary["markets"][self.scene.name]
        findings = [one for one in summary["findings"][self._findings :] if one["market"] == self.scene.name]
        incomplete = {run: names for run, names in market["incomplete"].items() if run not in self._incomplete}
        self._findings = len(summary["findings"])
        self._incomplete |= incomplete.keys()
        return findings, incomplete


def limits_broken(ledger: dict[str, Any]) -> list[str]:
    """What our processes did for which the exchange would refuse or ban an address. Refusals that a fault ordered are
    not in these numbers."""
    broken = []
    bans = ledger["by_fault"].get("418", 0)
    if ledger["requests_while_banned"] > bans * UNDER_WAY:
        broken.append(f"{ledger['requests_while_banned']} requests during {bans} bans")
    if ledger["messages_too_fast"]:
        broken.append(f"{ledger['messages_too_fast']} messages too fast")
    if ledger["most_connections_in_5_min"] > CONNECTIONS_IN_5_MIN:
        broken.append(f"{ledger['most_connections_in_5_min']} connections in 5 minutes")
    broken += [
        f"weight {most} of {ledger['weight_limit'][pool]} in pool {pool}"
        for pool, most in ledger["max_weight_used"].items()
        if most > ledger["weight_limit"][pool]
    ]
    return broken


def files_that_lie(stage: Stage, scene: Scene) -> list[str]:
    """What plain DuckDB finds in the candle files, without any code of ours: two rows of one candle in a file, a
    candle that is not on the interval's grid, a row without values."""
    folder = stage.base_dir(scene) / f"{scene.trade_type}_{scene.interval}"
    doubled = """
        SELECT filename, symbol, candle_begin_time, count(*) FROM read_parquet(?, filename=true)
        GROUP BY ALL HAVING count(*) > 1"""
    broken = f"""
        SELECT filename, symbol, candle_begin_time FROM read_parquet(?, filename=true)
        WHERE epoch_ms(candle_begin_time) % {scene.step_ms} <> 0 OR symbol IS NULL OR close IS NULL OR volume IS NULL
           OR NOT (low <= least(open, close) AND high >= greatest(open, close))"""  # noqa: S608 - a number of ours
    with duckdb.connect() as database:
        files = sorted(str(path) for path in folder.glob("[!.]*.parquet"))
        found = [f"twice in one file: {row}" for row in database.execute(doubled, [files]).fetchmany(3)]
        return found + [f"no candle: {row}" for row in database.execute(broken, [files]).fetchmany(3)]
