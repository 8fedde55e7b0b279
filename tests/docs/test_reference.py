"""What is written by hand about what is in the code: complete, in both languages."""

from __future__ import annotations

import importlib.util
import re

import pytest

from docs._site.configuration import CHINESE, MODELS, OF_BMAC, TRADE_TYPES, page
from flows.__main__ import app as flows_app
from kit.__main__ import app as kit_app
from kit.alarms.conditions import Kind, NewsKind
from kit.alarms.texts import TEXTS
from kit.words import TradeType
from tests.docs.commands import TARGETS_ELSEWHERE
from tests.docs.pages import DOCS, ROOT, headings_of, pages

OF_PROMETHEUS = ("period-late", "delay-high", "prefect-backlog", "weight-high")
"""Sections of alert rules that have no alarm of the service's own."""

LANGUAGES = {"en": ".md", "zh": ".zh.md"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_configuration_reference_is_as_it_would_be_written_now(language):
    written = (DOCS / f"configuration{LANGUAGES[language]}").read_text(encoding="utf-8")
    assert written == page(language), "run: python -m docs._site.configuration"


def test_every_key_has_its_chinese_words():
    assert {heading: set(words) for heading, words in CHINESE.items()} == {
        heading: set(model.model_fields) for heading, model in MODELS.items()
    }
    chinese = re.compile(r"[\u4e00-\u9fff]")
    assert all(chinese.search(words) for part in CHINESE.values() for words in part.values())


def test_every_trade_type_is_told():
    assert set(TRADE_TYPES) == set(TradeType)


@pytest.mark.parametrize("suffix", LANGUAGES.values())
def test_every_key_of_bmac_is_told_to_those_who_come_from_it(suffix):
    text = (DOCS / f"from-bmac-v2{suffix}").read_text(encoding="utf-8")
    assert set(OF_BMAC) <= set(MODELS["config.json"].model_fields)
    for key in MODELS["config.json"].model_fields:
        assert f"`{key}`" in text, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_alarm_has_its_section_and_its_words_in_the_runbook(language):
    path = DOCS / f"runbook{LANGUAGES[language]}"
    sections = [words for depth, words in headings_of(path) if depth == 2][2:]
    assert sections == [str(kind).replace("_", "-") for kind in (*Kind, *NewsKind)] + list(OF_PROMETHEUS)
    text = path.read_text(encoding="utf-8")
    table = text[: text.index("\n## ")]
    for kind, words in TEXTS[language].trouble.items():
        row = next(line for line in table.splitlines() if f"(#{str(kind).replace('_', '-')})" in line)
        assert words.title in row, kind
    for kind in NewsKind:
        assert TEXTS[language].news[kind].split(":")[0].split("：")[0] in table, kind


def test_alert_rules_point_at_sections_that_exist():
    anchors = {words for _, words in headings_of(DOCS / "runbook.md")}
    named = [
        anchor
        for path in (ROOT / "deployments").rglob("*.y*ml")
        for anchor in re.findall(r"runbook(?:\.md)?/?#([\w-]+)", path.read_text(encoding="utf-8"))
    ]
    assert set(named) <= anchors


def test_programs_that_pages_name_in_passing_exist():
    kit_commands = {command.name or command.callback.__name__ for command in kit_app.registered_commands}
    flows_commands = {command.name or command.callback.__name__ for command in flows_app.registered_commands}
    known = {"kit": kit_commands, "flows": flows_commands}
    for path in (*pages(), ROOT / "ARCHITECTURE.md"):
        text = path.read_text(encoding="utf-8")
        for module, word in re.findall(r"python -m ([\w.]+)(?: ([a-z][a-z-]+)(?=[ `\n]))?", text):
            assert importlib.util.find_spec(module) is not None, (path, module)
            assert not word or module not in known or word in known[module], (path, module, word)
        made = set(re.findall(r"(?<=`)make ([a-z]+)", text))
        assert made <= set(TARGETS_ELSEWHERE), path
