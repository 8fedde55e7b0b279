"""The defects that must never go unnoticed: how each is planted, and the tests of the suite that catch it.

A patch replaces one piece of a source file, which must occur there exactly once; so a change of the source that would
make a defect harmless, or impossible to plant, is noticed as well.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patch:
    """In ``path`` the text ``sound`` becomes ``defective``."""

    path: str
    sound: str
    defective: str


@dataclass(frozen=True)
class Defect:
    """``what`` a user would suffer; ``caught_by``: the tests that fail with it, each of them."""

    what: str
    patches: tuple[Patch, ...]
    caught_by: tuple[str, ...]


READING = "tests/buffer/test_reading.py"
STEPS = "tests/models/test_each_step_of_a_write.py"
ILL = "tests/flows/test_when_the_exchange_is_ill.py"
BESIDE = "tests/buffer/test_readers_beside_writers.py"
LIFE = "tests/streamer/test_life.py"
COME_AND_GO = "tests/flows/test_symbols_come_and_go.py"

DEFECTS: dict[str, Defect] = {
    "the streamer drops a candle in a flush": Defect(
        "a candle that the exchange delivered is lost, and nobody is told",
        (
            Patch(
                "kit/buffer/slices.py",
                "candle_table(candles, Source.STREAM)",
                "candle_table(candles[1:] or candles, Source.STREAM)",
            ),
        ),
        (
            f"{READING}::test_ready_is_what_candles_has_of_that_run_time",
            f"{STEPS}::test_a_reader_sees_what_one_flush_adds_to_a_period_whole_or_not_at_all",
        ),
    ),
    "the flow believes what it cannot read": Defect(
        "a period is called complete while a symbol's newest candle is missing",
        (
            Patch(
                "flows/steps/gaps.py",
                "    present = readable != ABSENT\n    for row",
                "    readable[readable == ABSENT] = 1\n    present = readable != ABSENT\n    for row",
            ),
        ),
        (f"{ILL}::test_an_exchange_that_does_not_answer_is_asked_a_few_times_and_not_for_every_symbol",),
    ),
    "the ledger says complete with a missing symbol": Defect(
        "a strategy trades on a market with a hole that the ledger itself names",
        (Patch("kit/completeness.py", "complete = not missing and bool(", "complete = bool("),),
        ("tests/completeness/test_completeness.py::test_a_record_counts_each_expected_symbol_once",),
    ),
    "a REST row is stored before it is final": Defect(
        "an open candle is stored as final: its close is a price in the middle of the period",
        (Patch("flows/steps/gaps.py", " and row.begin_ms + step <= final_before", ""),),
        ("tests/models/test_final_rows.py::test_a_row_is_stored_when_it_closed_and_the_guard_has_passed",),
    ),
    "a REST row is stored without the guard": Defect(
        "a row that the exchange still changes after the close is stored as final",
        (
            Patch(
                "flows/steps/context.py",
                " - FINAL_AFTER // timedelta(milliseconds=1)",
                "",
            ),
        ),
        ("tests/models/test_final_rows.py::test_a_row_is_stored_when_it_closed_and_the_guard_has_passed",),
    ),
    "a final that came before its close is believed": Defect(
        "a candle of a period that is not over becomes readable",
        (Patch("streamer/intake.py", 'return "in_the_future"', "return None"),),
        ("tests/streamer/test_intake.py::test_a_candle_that_cannot_be_right_is_counted_and_not_stored",),
    ),
    "an open frame is taken for a final": Defect(
        "the first price of a period is stored as its candle",
        (
            Patch("kit/dialect/klines.py", "    if not k.x:\n        return None\n", ""),
            Patch("kit/dialect/klines.py", "rb'\"x\"\\s*:\\s*false'", "rb'\"never\"'"),
        ),
        ("tests/dialect/test_klines.py::test_an_open_candle_is_none_whatever_the_blanks_and_is_never_decoded",),
    ),
    "a file is renamed before its bytes are durable": Defect(
        "a power cut leaves a file of the right name and no content",
        (
            Patch(
                "kit/buffer/files.py",
                "                os.fsync(descriptor)\n            finally:",
                "                os.rename(temporary, path)\n"
                "                os.fsync(descriptor)\n"
                "            finally:",
            ),
            Patch("kit/buffer/files.py", "os.rename(temporary, path)  # noqa", "pass  # noqa"),
        ),
        (f"{STEPS}::test_a_file_gets_its_name_when_its_bytes_are_on_the_disk_and_the_folder_is_made_durable_after_it",),
    ),
    "the folder is not made durable": Defect(
        "a power cut takes back a candle that had been readable",
        (Patch("kit/buffer/files.py", "            raise\n    sync_folder(path.parent)\n", "            raise\n"),),
        (f"{STEPS}::test_a_file_gets_its_name_when_its_bytes_are_on_the_disk_and_the_folder_is_made_durable_after_it",),
    ),
    "a slice is written in place": Defect(
        "a reader meets a torn file",
        (
            Patch("kit/buffer/files.py", "    temporary = path.with_name(", "    temporary = path or path.with_name("),
            Patch("kit/buffer/files.py", "os.O_EXCL", "os.O_TRUNC"),
        ),
        (f"{STEPS}::test_a_reader_sees_what_one_flush_adds_to_a_period_whole_or_not_at_all",),
    ),
    "a period is written as two files": Defect(
        "a reader sees half a market and takes it for the whole",
        (
            Patch(
                "kit/buffer/slices.py",
                "            size += write_table(path,",
                "            write_table(self._folder.stream_path(run_ms, self._incarnation + 1),"
                " candle_table(candles[::2], Source.STREAM), self._folder.save_type)\n"
                "            size += write_table(path,",
            ),
        ),
        (f"{STEPS}::test_a_reader_sees_what_one_flush_adds_to_a_period_whole_or_not_at_all",),
    ),
    "compaction deletes before the block is durable": Defect(
        "a kill in between loses every candle of the block",
        (
            Patch(
                "kit/buffer/compaction.py",
                "    write_table(path, table, folder.save_type)",
                "    for file in view.narrowed(build.first_ms, build.last_ms).files:\n"
                "        (folder.candles / file.name).unlink()\n"
                "    write_table(path, table, folder.save_type)",
            ),
        ),
        (f"{STEPS}::test_no_step_of_a_compaction_takes_a_candle_away",),
    ),
    "a revision is not recorded": Defect(
        "a candle changes under a strategy's feet, and nothing tells what it was",
        (Patch("kit/buffer/fills.py", '    write_atomically(folder.revisions / f"{seq:012d}.jsonl", lines)\n', ""),),
        (f"{READING}::test_revisions_are_kept_for_ever_even_when_every_candle_file_is_deleted",),
    ),
    "REST overwrites what the stream delivered": Defect(
        "a readable candle changes without a revision",
        (Patch("kit/buffer/fills.py", "if key not in readable]", "]"),),
        (f"{READING}::test_rest_leaves_what_the_stream_has_delivered_meanwhile_as_it_is",),
    ),
    "a row is kept twice": Defect(
        "a symbol has two candles for one period, and every window over them is one short",
        (
            Patch("kit/buffer/read.py", "by_key = by_key[np.diff(key[by_key], prepend=-1) > 0]", "pass"),
            Patch("kit/buffer/read.py", "(moved[1:] > moved[:-1])", "(moved[1:] >= moved[:-1])"),
        ),
        (f"{BESIDE}::test_a_later_incarnation_never_takes_precedence_even_when_the_clock_went_back",),
    ),
    "a relisted ticker is joined to the former asset": Defect(
        "the prices of two different assets stand in one series",
        (Patch("kit/buffer/assets.py", "& (begin_ms < moment)", "& (begin_ms < 0)"),),
        (f"{COME_AND_GO}::test_a_former_asset_that_left_the_window_is_kept_by_compaction",),
    ),
    "a relisting goes unnoticed": Defect(
        "the prices of two different assets stand in one series",
        (Patch("flows/steps/exchange_info.py", "if held and _listed_again(state, info):", "if False:"),),
        (f"{COME_AND_GO}::test_another_asset_is_told_by_its_listing_date_and_the_candles_before_it",),
    ),
    "the budget loses a reservation that was not answered": Defect(
        "more weight is sent than the exchange allows, until it bans the address",
        (
            Patch(
                "kit/budget/rules.py",
                "replace(state, unheadered=state.unheadered + weight, carried=carried)",
                "replace(state, carried=carried)",
            ),
        ),
        ("tests/budget/test_budget.py::test_a_block_that_fails_counts_as_sent",),
    ),
    "a ban is forgotten by the next process": Defect(
        "a restart asks on during a ban, and the exchange makes it longer",
        (Patch("kit/budget/rules.py", "return replace(state, stop=new)", "return state"),),
        ("tests/budget/test_budget.py::test_a_ban_outlives_the_process_and_names_its_end",),
    ),
    "a connection is left before its replacement delivers": Defect(
        "every rotation loses candles",
        (
            Patch(
                "streamer/life.py",
                "return len(needed & delivered) >= timing.nearly_all * len(needed)",
                "return True",
            ),
        ),
        (f"{LIFE}::test_a_replacement_takes_over_only_when_it_delivers_nearly_all_that_the_old_one_does",),
    ),
    "a silent connection is kept": Defect(
        "streams that are acknowledged and never deliver stay silent for a day",
        (
            Patch(
                "streamer/life.py", "if self.silent_for(now) > self._patience(now):", "if self.silent_for(now) > 1e9:"
            ),
        ),
        (f"{LIFE}::test_no_frame_for_twenty_seconds_is_silence_after_the_first",),
    ),
}
