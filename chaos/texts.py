"""Two languages at the terminal: each sentence is written twice where it is said, Spanish first."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Say:
    """Pick the sentence of the person's language: `say("hola", "hello")`."""

    lang: str = "es"

    def __call__(self, es: str, en: str) -> str:
        """`es` or `en`."""
        return en if self.lang == "en" else es


SPANISH: Final = Say("es")
