"""The page says nothing that its catalogue does not say, in both languages; the catalogue knows every stable word."""

import re
from importlib.resources import files
from typing import get_args

import pytest

from chassis.catalogue import LANGUAGES, Text
from chassis.traffic import WHY
from gateway import domain
from gateway.clients.mesh import SERVICES
from gateway.schemas import TimelineEntry
from reservations.domain import SERVICE_OF, State
from tests.support.said import unspoken_for_in_page, unspoken_for_in_script
from tests.unit.gateway.test_pages import source, texts

WEB = files("gateway") / "web"
SCRIPTS = sorted(entry.name for entry in WEB.iterdir() if entry.name.endswith(".js"))
PAGES = sorted(entry.name for entry in WEB.iterdir() if entry.name.endswith(".html"))
TAGS = {
    "a",
    "button",
    "form",
    "input",
    "label",
    "li",
    "ol",
    "p",
    "section",
    "span",
    "svg",
    "td",
    "ul",
}
TECHNICAL = {"Bearer "}
"""What reads like a word and is none: a scheme of HTTP."""


def names_of_ours() -> set[str]:
    """Classes, elements and services: what scripts name without saying it to anybody."""
    classes = set(re.findall(r"\.([a-z][\w-]*)", source("style.css")))
    return classes | TAGS | set(SERVICES) | {"provider"}


def test_the_page_and_the_answers_speak_the_same_languages():
    assert tuple(texts()) == LANGUAGES == Text._fields


def test_texts_of_the_gateway_itself_are_in_both_languages():
    found = [value for value in vars(domain).values() if isinstance(value, Text)]
    assert len(found) == 2
    assert all(text.es and text.en and text.es != text.en for text in found)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_nothing_that_is_not_in_the_catalogue(name):
    assert unspoken_for_in_page(source(name)) == []


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "texts.js"])
def test_a_script_says_nothing_that_is_not_in_the_catalogue(name):
    found = unspoken_for_in_script(source(name), names_of_ours())
    assert [said for said in found if said not in TECHNICAL] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('h("p", {}, "No hay asientos")', ["No hay asientos"]),
        ('node.textContent = "listo";', ["listo"]),
        ("say(node(`x`), `quedan ${left}`)", ["quedan "]),
        ('h("b", { "aria-label": "cerrar" })', ["cerrar"]),
        ('h("td", {}, "año")', ["año"]),
        ('const word = "Vendido";', ["Vendido"]),
        ("`${all.map((one) => `no ${one} left`)}`", ["no  left"]),
        ('// a comment says what it wants: "a b c"', []),
        ('h("p", { class: "verdict good" }, t("good"))', []),
        ('h("p", { class: ok ? "these are" : "all classes" }, t("good"))', []),
        ('call("GET", "/api/events")', []),
        ("document.title = `Taquilla · ${id}`;", []),
    ],
)
def test_what_a_script_says_is_found(code, found):
    assert unspoken_for_in_script(code, {"verdict", "good"}) == found


def test_what_a_page_says_is_found():
    page = (
        '<p data-t="x"></p><p>Hola</p><img alt="mapa"><b>Taquilla</b><i>9s</i>'
        "<noscript><p>Solo aquí.</p></noscript><noscript>Sí. · Yes.</noscript>"
    )
    assert unspoken_for_in_page(page) == ["Hola", "mapa", "Solo aquí."]


def test_edges_and_timelines_have_their_words():
    known = texts()["es"]
    wanted = [f"why_{word}" for word in WHY.values()]
    wanted += [f"step_{step}" for step in (*SERVICE_OF, "undo", "refund")]
    wanted += [f"outcome_{state}" for state in State]
    wanted += [f"kind_{kind}" for kind in get_args(TimelineEntry.model_fields["kind"].annotation)]
    tried = ("ok", "failed", "timeout", "cancelled", "waited", "rejected")
    wanted += [f"outcome_{word}" for word in (*tried, "SENT", "PENDING", "SUPERSEDED", "DEAD")]
    assert [key for key in wanted if key not in known] == []
