"""The guides are current, quote code that is there, say the same in both languages, and show nothing untested."""

import re

import pytest

from chaos.audit import INVARIANTS
from tests.controls.__main__ import found, main
from tests.guides.pages import PLACE, pages
from tests.guides.story import ROOT, scenarios, unmatched

PAGES = pages()
GUIDES = [page for page in PAGES if page.scenario]
every_guide = pytest.mark.parametrize("page", GUIDES, ids=lambda one: one.path.stem)
every_scenario = pytest.mark.parametrize("scenario", scenarios(), ids=lambda one: one.name)

HEADINGS = {
    "es": ["Hipótesis", "Órdenes", "Qué mirar", "El mecanismo", "Preguntas", "Ejercicio: rómpelo"],
    "en": [
        "Hypothesis",
        "Commands",
        "What to look at",
        "The mechanism",
        "Questions",
        "Exercise: break it",
    ],
}


@pytest.mark.parametrize("page", PAGES, ids=lambda one: f"{one.lang}-{one.path.stem}")
def test_a_page_is_current(page):
    assert page.text == page.filled(), "python -m tests.guides.pages"


def test_there_is_no_page_without_a_place_in_the_file():
    there = {path for folder in ("guia", "guide") for path in (ROOT / "docs" / folder).iterdir()}
    assert there == {page.path for page in PAGES}


@every_guide
def test_a_guide_has_its_parts_in_order_a_picture_and_a_way_to_the_glossary(page):
    assert re.findall(r"^## (.+)$", page.text, re.MULTILINE) == HEADINGS[page.lang]
    assert "```mermaid\nsequenceDiagram\n" in page.text
    assert "](../glossary.md#" in page.text
    questions = page.text.split(f"## {HEADINGS[page.lang][4]}")[1].split("\n## ")[0]
    assert len(re.findall(r"^\d\. ", questions, re.MULTILINE)) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda one: f"{one.lang}-{one.path.stem}")
def test_the_pictures_of_a_page_are_there(page):
    named = re.findall(r'(?:src|srcset)="([^"]+)"', page.text)
    assert [one for one in named if not (page.path.parent / one).is_file()] == []


@every_guide
def test_a_guide_uses_every_step_in_order_every_quote_and_its_control(page):
    one, places = page.scenario, page.places()
    assert [name for kind, name in places if kind == "step"] == list(one.steps)
    assert sorted(name for kind, name in places if kind == "quote") == sorted(one.quotes)
    assert [kind for kind, _ in places].count("control") == 1


@every_guide
def test_a_guide_shows_no_command_of_its_own(page):
    own = PLACE.sub("", page.text)
    assert "```sh" not in own
    assert re.findall(r"`(?:curl|python3?|make|\./scripts/)[^`]*`", own) == []


@every_scenario
def test_both_languages_have_the_same_places(scenario):
    spanish, english = (page for page in GUIDES if page.scenario.name == scenario.name)
    assert spanish.places() == english.places()


@every_scenario
def test_the_quoted_lines_stand_in_their_file_once(scenario):
    for name, quote in scenario.quotes.items():
        code = (ROOT / quote.file).read_text(encoding="utf-8")
        assert code.count(quote.text) == 1, f"{name}: {quote.file}"


@every_scenario
def test_what_a_command_is_said_to_print_is_what_is_looked_for(scenario):
    for step in scenario.steps.values():
        assert bool(step.prints) == bool(step.shows), step.id
        assert unmatched(step, step.shows) == [], step.id


@every_scenario
def test_the_control_turns_red_before_the_eyes_of_a_class(scenario, capsys):
    words, red = scenario.control.words.split(), set(scenario.control.red)
    (control,) = found(words)
    assert red == control.red
    assert red <= {one.number for one in INVARIANTS}
    assert main(words) == 0
    right, _, wrong = capsys.readouterr().out.partition("broken code · código roto")
    assert "green · verde" in right
    for number in red:
        assert f"✗ {number} " in wrong


def test_words_that_name_no_rule_or_several_are_refused(capsys):
    assert main(["no", "such", "rule"]) == 2
    assert main(["is"]) == 2
    assert main([]) == 0
    assert capsys.readouterr().out
