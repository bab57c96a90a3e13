"""Commands, quotes and controls of the guides, written into their pages: `python -m tests.guides.pages` renews them.

A page is prose with places `<!-- step: buy -->` … `<!-- end -->`; what stands between is made here, from
docs/guides.toml. The pages of both languages have the same places in the same order.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaos.audit import INVARIANTS
from chaos.faults import SCENARIOS
from tests.controls.__main__ import found, picture
from tests.guides.story import ROOT, Scenario, Step, scenarios

Lang = Literal["es", "en"]
PLACE = re.compile(
    r"<!-- (step|quote|control|table|picture)(?:: (\w+))? -->\n.*?<!-- end -->", re.DOTALL
)

PICTURES: dict[str, tuple[str, str]] = {
    "home": (
        "La página mientras el inventario está caído: el breaker abierto, la tabla de llamadas y los seis escenarios",
        "The page while inventory is down: the open breaker, the table of calls and the six scenarios",
    ),
    "sold": (
        "La página de una reserva vendida: apartar, autorizar, vender y avisar, a escala",
        "The page of a reservation that was sold: hold, authorize, sell and tell, to scale",
    ),
    "undone": (
        "La página de una reserva deshecha: el pago tardó y las dos compensaciones, a escala",
        "The page of a reservation that was undone: the slow payment and both compensations, to scale",
    ),
}
"""Screenshots by name, with what they show; `python -m tests.browser.screenshots` takes them."""


@dataclass(frozen=True)
class Page:
    """One page; the index of a language has no scenario."""

    path: Path
    lang: Lang
    scenario: Scenario | None

    @property
    def text(self) -> str:
        """As it stands in the tree."""
        return self.path.read_text(encoding="utf-8")

    def say(self, es: str, en: str) -> str:
        """The sentence in the page's language."""
        return es if self.lang == "es" else en

    def filled(self) -> str:
        """The page with every place as it should be."""
        return PLACE.sub(self._fill, self.text)

    def places(self) -> list[tuple[str, str]]:
        """(kind, name) of every place, in order."""
        return PLACE.findall(self.text)

    def _fill(self, place: re.Match[str]) -> str:
        kind, name = place[1], place[2]
        made = "\n".join(self._made(kind, name))
        opening = place[0].partition("\n")[0]
        return f"{opening}\n{made}\n<!-- end -->"

    def _made(self, kind: str, name: str) -> Iterator[str]:
        if kind == "table":
            yield from self._table()
            return
        if kind == "picture":
            file = f"../pictures/{name}-{self.lang}"
            yield "<picture>"
            yield f'<source media="(prefers-color-scheme: dark)" srcset="{file}-dark.png">'
            yield f'<img alt="{self.say(*PICTURES[name])}" src="{file}-light.png">'
            yield "</picture>\n"
            return
        assert self.scenario is not None, f"{self.path.name}: {kind} without a scenario"
        if kind == "step":
            yield from self._step(self.scenario.steps[name])
        elif kind == "quote":
            quote = self.scenario.quotes[name]
            yield f"[{quote.file}](../../{quote.file}):\n"
            # A formatter must not tidy a fragment: it would quote what is not there.
            yield f"<!-- fmt: off -->\n```python\n{quote.text.rstrip()}\n```\n<!-- fmt: on -->"
        else:
            yield from self._control(self.scenario)

    def _step(self, step: Step) -> Iterator[str]:
        yield f"```sh\n{step.run}\n```\n"
        if step.shows:
            yield self.say("Se ve algo así:", "You see something like:")
            yield f"\n```text\n{step.shows.strip()}\n```"
            return
        parts = []
        if step.status is not None:
            parts.append(f"**{step.status}**" + (f" `{step.code}`" if step.code else ""))
        else:
            parts.append(self.say(f"termina con {step.exit}", f"ends with {step.exit}"))
        parts += [f"`{path}` = `{json.dumps(value)}`" for path, value in step.has.items()]
        if step.within_s is not None:
            parts.append(
                self.say(f"en menos de {step.within_s:g} s", f"within {step.within_s:g} s")
            )
        if step.repeat_s:
            until = f"{step.repeat_s:g} s"
            parts.append(
                self.say(
                    f"si todavía no, repite la orden durante {until} como mucho",
                    f"if not yet, repeat the command for at most {until}",
                )
            )
        yield self.say("Respuesta: ", "Answer: ") + ", ".join(parts) + "."

    def _control(self, scenario: Scenario) -> Iterator[str]:
        (control,) = found(scenario.control.words.split())
        yield f"```sh\npython3 dev.py control {scenario.control.words}\n```\n"
        yield self.say("Lo que rompe:", "What it breaks:")
        for broken in control.broken:
            yield f"\n```diff\n{picture(broken).rstrip()}\n```"
        yield "\n" + self.say(
            "Con el código correcto el auditor queda en verde; con el roto se ponen en rojo, entre otros:",
            "With the right code the auditor stays green; with the broken one these, among others, turn red:",
        )
        for one in INVARIANTS:
            if one.number in scenario.control.red:
                yield f"\n- **{one.number}** {self.say(one.es, one.en)}"

    def _table(self) -> Iterator[str]:
        yield self.say(
            "| n.º | guía | qué se debe ver |\n|---|---|---|",
            "| # | guide | what must be seen |\n|---|---|---|",
        )
        for number, scenario in enumerate(scenarios(), 1):
            (one,) = (known for known in SCENARIOS if known.name == scenario.name)
            file = f"{self.say(scenario.guia, scenario.guide)}.md"
            title = self.say(one.title_es, one.title_en)
            yield f"| {number} | [{title}]({file}) | {self.say(one.expected_es, one.expected_en)} |"


def pages() -> list[Page]:
    """Every page of both languages."""
    made = []
    folders: tuple[tuple[str, Lang], ...] = (("guia", "es"), ("guide", "en"))
    for folder, lang in folders:
        home = ROOT / "docs" / folder
        made.append(Page(home / "README.md", lang, None))
        for one in scenarios():
            name = one.guia if lang == "es" else one.guide
            made.append(Page(home / f"{name}.md", lang, one))
    return made


if __name__ == "__main__":
    for page in pages():
        page.path.write_text(page.filled(), encoding="utf-8")
