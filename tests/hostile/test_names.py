"""Any text as a symbol, a file name, a word of the config: no path, no terminal and no table is led astray by it."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from kit import logs
from kit.buffer.layout import Folder, parse_name
from kit.buffer.ledger import LedgerRecord
from kit.buffer.slices import SliceWriter
from kit.config import parse_config
from kit.dialect.klines import Control, FrameError, decode_frame, stream_name
from kit.dialect.symbols import decode_exchange_info
from kit.errors import BadAnswerError, BmacError, ConfigError
from kit.market import Market
from kit.outside import MAX_SYMBOL_CHARS, printable, symbol_problem
from kit.status import add_period, periods_table
from kit.words import Interval, TradeType, Venue, utc_now

REAL_ONES = ("BTCUSDT", "币安人生USDT", "龙虾USDT", "我踏马来了USDT", "BTCUSD_PERP", "BTCUSDT_261225", "1000SATSUSDT")
EVIL_ONES = (
    *("", ".", "..", "../../etc/passwd", "/etc/passwd", "A/B", "A\\B", "A\0B", "A\nB", "A\x1b[2JB", "A\u202eB"),
    *("A B", "A\u200bB", "A\u2028B", "LITUSDT#1", "A|B", "<b>A", "[A](x)", "A*", "A?x=1", "A%2e", "\ud800A"),
    "A" * (MAX_SYMBOL_CHARS + 1),
)
texts = st.text(st.characters(codec=None), max_size=80) | st.sampled_from([*REAL_ONES, *EVIL_ONES])


def entry(symbol: str) -> dict[str, object]:
    return {"symbol": symbol, "status": "TRADING", "baseAsset": "A", "quoteAsset": "USDT", "contractType": "PERPETUAL"}


def told(*symbols: str) -> bytes:
    return json.dumps({"symbols": [entry(symbol) for symbol in symbols]}).encode()


@pytest.mark.parametrize("symbol", REAL_ONES)
def test_the_exchanges_symbols_are_taken_chinese_ones_too(symbol):
    assert symbol_problem(symbol) is None
    (info,) = decode_exchange_info(Venue.UM, told(symbol)).symbols
    assert info.symbol == symbol


@pytest.mark.parametrize("symbol", EVIL_ONES)
def test_a_name_that_is_no_symbol_is_counted_and_the_others_stay(symbol):
    try:
        info = decode_exchange_info(Venue.UM, told("BTCUSDT", symbol))
    except BadAnswerError:
        assert any(0xD800 <= ord(char) < 0xE000 for char in symbol)  # that is no JSON text at all
        return
    assert [each.symbol for each in info.symbols] == ["BTCUSDT"]
    assert info.malformed == 1


@given(texts)
def test_a_symbol_is_one_part_of_a_path_and_one_cell_of_a_table(text):
    if symbol_problem(text) is None:
        assert Path("/base", text).resolve() == Path("/base") / text
        assert not set(text) & set("/\\|<>#\n\r\t \x1b\x7f")
        assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs") for char in text)


@given(texts)
def test_config_and_exchange_info_agree_on_what_a_symbol_is(text):
    try:
        taken = {info.symbol for info in decode_exchange_info(Venue.UM, told("BTCUSDT", text)).symbols}
    except BadAnswerError:
        return
    try:
        kept = parse_config(Path(), {"interval": "1m", "trade_type": "usdt_perp", "keep_symbols": [text]}).keep_symbols
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017 - either may be right
        assert text not in taken or text != text.upper()
    else:
        assert kept == (text,)
        assert text in taken


words = st.text(st.characters(codec=None), max_size=40)
configs = st.fixed_dictionaries(
    {},
    optional={
        "trade_type": words,
        "interval": words,
        "save_type": words,
        "factor_package": words,
        "factors": st.lists(st.tuples(words, st.integers())).map(lambda pairs: [list(pair) for pair in pairs]),
        "resample": st.fixed_dictionaries({"interval": words, "base_offset": words}),
        "dingding": st.dictionaries(words, st.fixed_dictionaries({"access_token": words})),
        "endpoints": st.fixed_dictionaries({"rest": words}),
        "proxy": words,
        "notify": st.lists(words),
    },
)


@given(configs)
def test_no_word_of_a_config_leads_out_of_the_folder_or_into_the_terminal(changes):
    raw = {"interval": "1m", "trade_type": "usdt_perp", **changes}
    try:
        config = parse_config(Path("/base"), raw)
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017 - either may be right
        return
    folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
    for path in (folder.candles, folder.exchange_info, folder.funding, folder.stream_path(0, 1), folder.lock("flow")):
        assert path.parent in (Path("/base"), folder.candles)
    assert all(name.isprintable() for name in config.dingding or {})


@given(
    texts | st.from_regex(r"(stream|rest|block)_\d{8}T\d{6}Z(_\d{8}T\d{6}Z)?_\d+\.(parquet|feather)", fullmatch=True)
)
@example("block_20261122T071500Z_20261122T064000Z_000000000042.parquet")
@example("stream_٢٠٢٦1122T070500Z_1.parquet")
@example("rest_20261322T060000Z_20261322T070500Z_000000000001.parquet")
def test_a_file_name_is_one_of_ours_in_one_spelling_or_none(name):
    file = parse_name(name)
    if file is not None:
        assert (file.name, name.isascii(), file.first_ms <= file.last_ms) == (name, True, True)


@given(texts)
def test_what_others_wrote_is_shown_without_steering_the_terminal(text):
    assert printable(text).isprintable()
    assert printable("龙虾USDT 1.5") == "龙虾USDT 1.5"
    assert str(BmacError(text)).isprintable()


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_log_line_holds_a_control_character_of_others(form, capsys):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure(form)
        evil = "A\x1b]0;owned\x07\u202e\x9b2J\r\nfake"
        logging.getLogger("x").warning("said %s", evil)
        logging.getLogger("x").error(evil, exc_info=RuntimeError(evil))
        said = capsys.readouterr().err
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert said.count("owned") >= 3
    assert said.replace("\n", "").isprintable()
    assert "\r" not in said


@given(texts.filter(lambda text: len(text) < 80))
def test_event_names_and_messages_of_frames_are_short_and_printable(text):
    for frame in ({"e": text}, {"stream": text, "data": {"e": text}}, {"code": 1, "msg": text * 100}):
        try:
            control = decode_frame(json.dumps(frame).encode())
        except FrameError as error:
            assert str(error).isprintable()  # noqa: PT017 - either may be right
            continue
        if isinstance(control, Control):
            assert (control.event + control.message).isprintable()
            assert len(control.event + control.message) < 600 * 11  # an escape has up to ten characters


@pytest.mark.parametrize("symbol", REAL_ONES)
def test_a_candle_of_every_symbol_goes_through_frame_buffer_and_reader(tmp_path, symbol):
    (tmp_path / "config.json").write_text('{"interval": "1m", "trade_type": "usdt_perp"}')
    folder = Folder(tmp_path, TradeType.USDT_PERP, Interval.M1)
    folder.open_for_writing()
    now_ms = int(utc_now().timestamp() * 1000)
    begin_ms = now_ms // 60_000 * 60_000 - 60_000
    k = {"t": begin_ms, "s": symbol, "i": "1m", "o": "1", "c": "1", "h": "1", "l": "1", "v": "1", "n": 1, "x": True}
    k |= {"q": "1", "V": "1", "Q": "1"}
    frame = {"stream": stream_name(symbol, Interval.M1), "data": {"e": "kline", "E": now_ms, "s": symbol, "k": k}}
    kline = decode_frame(msgspec.json.encode(frame))
    writer = SliceWriter(folder)
    assert writer.add(kline.candle, kline.event_ms, now_ms)
    writer.flush()
    assert Market(tmp_path).candles(symbols=[symbol])["symbol"].to_list() == [symbol]
    assert all(path.resolve().is_relative_to(tmp_path) for path in tmp_path.rglob("*"))


def test_the_table_of_periods_takes_its_words_as_they_are():
    table = periods_table("usdt_perp_1m /data/[/red]\x1b[2J")
    add_period(
        table,
        LedgerRecord(run_time=utc_now(), expected=1, by_stream=0, by_rest=0, missing=["A"], excused={}, complete=False),
    )
    out = io.StringIO()
    Console(file=out, width=100).print(table)
    assert "[/red]" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
