"""The table of words: both languages are complete, and every word that the page asks for is in it."""

from __future__ import annotations

import re

from kit.serve.files import STATIC

ENTRY = re.compile(r'^  "?([\w.?-]+)"?: \{\s*en: "((?:[^"\\]|\\.)*)",\s*zh: "((?:[^"\\]|\\.)*)",?\s*\},$', re.MULTILINE)
TABLE = (STATIC / "words.js").read_text().split("export const WORDS = {", 1)[1].split("\n};", 1)[0]
WORDS = {name: (en, zh) for name, en, zh in ENTRY.findall(TABLE)}
SOURCES = "".join(path.read_text() for path in STATIC.glob("*.js") if path.name != "words.js")
PAGE = (STATIC / "index.html").read_text()


def test_the_whole_table_is_read_here():
    assert len(WORDS) == len(re.findall(r"\ben: ", TABLE)) == len(re.findall(r"\bzh: ", TABLE)) > 60


def test_every_entry_has_words_and_the_same_places_in_both_languages():
    for name, (en, zh) in WORDS.items():
        assert en, name
        assert name in ("language", "complete_for") or re.search(r"[\u4e00-\u9fff]", zh), name
        assert sorted(re.findall(r"\{\w+\}", en)) == sorted(re.findall(r"\{\w+\}", zh)), name


def test_every_word_that_the_page_asks_for_is_there_and_none_is_there_for_nothing():
    asked = set(re.findall(r'\b(?:word|sentence|value|fact)\("([\w.]+)"', SOURCES))
    asked |= set(re.findall(r'data-word="(\w+)"', PAGE))
    built = {f"{prefix}_" for prefix in re.findall(r"word\(`(\w+)_\$\{", SOURCES)} | {"reason_"}
    for pair in re.findall(r'word\([^()]*\? "(\w+)" : "(\w+)"', SOURCES):
        asked |= set(pair)
    states = {"complete", "incomplete", "no_record", "starting", "broken"}
    prices = {"open", "high", "low", "close"}
    assert asked - WORDS.keys() == set()
    unused = {name for name in WORDS.keys() - asked - states - prices if not name.startswith(tuple(built))}
    assert unused == {"language"} - asked
