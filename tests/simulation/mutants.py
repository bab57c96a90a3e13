"""The mutants: each breaks one rule of the services, and random worlds must find it.

Where the controls build the one scenario that a broken rule needs, a seed has to come upon it: that the simulator finds
all of these says what a green run of it is worth. `python -m tests.simulation.mutants` searches again.
"""

import argparse
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gateway.usecases
import reservations.store.sagas
from chaos.simulate.picture import as_svg
from chaos.simulate.run import Result, first_start, run_seed
from chaos.simulate.shrink import shrink
from chaos.simulate.timeline import about
from chaos.texts import Say
from tests.controls.broken import Broken
from tests.controls.controls import CONTROLS
from tests.simulation.digests import quiet
from tests.simulation.races import CHECK_THEN_ACT, CUT_OPEN, RACING_RECOVERY, STALE_VIEW

RESERVATION = re.compile(r"\br[0-9a-f]{32}\b")

LIMIT = 3000
"""Seeds that a search tries."""


@dataclass(frozen=True)
class Mutant:
    """One rule broken.

    Attributes:
        rule: Which, in words.
        broken: How.
        found_as: Of `Result.broken`: at least one of these must be in it.
        seed: The first seed, counted from 1, that finds it: the search tried as many. 0: not known.
        given: Rules broken besides: without them this one could do no harm, and they alone are not `found_as`.
        fresh: Whether it changes what a first start leaves behind.
    """

    rule: str
    broken: tuple[Broken, ...]
    found_as: frozenset[str]
    seed: int
    given: tuple[Broken, ...] = ()
    fresh: bool = False


_CONTROLS = {control.rule: control for control in CONTROLS}

_KEYS_MEAN_NOTHING = Broken(
    gateway.usecases,
    "reserve",
    {"reservation_id_of(svc.settings.id_secret, scope, key)": "svc.runtime.new_id()"},
)
"""Every delivery names a reservation of its own: as if each came by a gateway with another secret."""

_ONE_LIFE = Broken(
    reservations.store.sagas,
    "_accept",
    {
        "is State.UNAVAILABLE and is_new": "is State.UNAVAILABLE and row.delivery_id != request.delivery_id"
    },
)
"""As it was until the simulator found it."""


def _control(
    rule: str,
    found_as: str,
    seed: int,
    *,
    given: tuple[Broken, ...] = (),
    fresh: bool = False,
) -> Mutant:
    control = _CONTROLS[rule]
    return Mutant(
        rule,
        control.broken,
        frozenset(found_as.split()),
        seed,
        given=(*control.given, *given),
        fresh=fresh,
    )


MUTANTS = (
    _control("seats are claimed only while free", "I2 I22", 1),
    _control("seats are freed by hold, never by name", "I1 I4", 4),
    _control("a cancelled payment leaves a tombstone", "I12", 170),
    _control("a released hold leaves a tombstone", "TOMBSTONE I6", 57),
    _control("a confirm needs its hold's token", "I4", 497),
    _control("a time-out is not a failure", "I12", 2),
    _control("one reservation per key", "I9", 1, given=(_KEYS_MEAN_NOTHING,), fresh=True),
    _control("what is owed is committed with its cause", "I10 I14", 1),
    _control("holds expire", "I3 I6", 2),
    _control("payments are settled", "I13", 2),
    _control("nobody is answered before the commit", "I7", 5),
    _control("a pending row is committed before the provider is called", "I10 I12", 2),
    _control("a refusal is stored before it is said", "I8 I9", 1),
    _control("the gateway refuses nothing that it has sent", "I8", 4),
    _control("a refused hold is stored", "I8", 3),
    _control("a capture under way is settled before it is taken back", "I10 I12 I18", 2),
    _control("a batch is drained by nobody who can be cancelled", "I6", 175),
    _control("nobody is told “sold out” while there are seats", "I19", 1),
    _control("whoever is turned away at the door left nothing behind", "I21", 1),
    Mutant(
        "seats are looked at and taken in one transaction", CHECK_THEN_ACT, frozenset({"I2"}), 11
    ),
    Mutant("nobody is cut off inside a transaction", CUT_OPEN, frozenset({"I5"}), 76),
    Mutant("a view is not from memory", STALE_VIEW, frozenset({"I22"}), 16),
    Mutant("a delivery has one life", (_ONE_LIFE,), frozenset({"I8"}), 1241),
    Mutant("one driver per saga", RACING_RECOVERY, frozenset({"I10", "I12", "I18"}), 7),
)
"""All of them: those of the controls first."""


@contextmanager
def breaking(broken: tuple[Broken, ...], *, fresh: bool = False) -> Iterator[None]:
    """The rules are broken for the length of the block."""
    first_start()
    with ExitStack() as stack:
        for one in broken:
            stack.enter_context(one)
        if fresh:
            stack.callback(first_start.cache_clear)
            first_start.cache_clear()
        yield


def play(mutant: Mutant, seed: int) -> Result:
    """One seed with the mutant on."""
    with breaking((*mutant.given, *mutant.broken), fresh=mutant.fresh):
        return run_seed(seed)


def finds(mutant: Mutant, seed: int) -> frozenset[str]:
    """As what a seed finds it; empty if it does not, or finds the same where only the given rules are broken."""
    found = play(mutant, seed).broken & mutant.found_as
    if found and mutant.given:
        with breaking(mutant.given):
            found -= run_seed(seed).broken
    return found


def search(number: int, limit: int) -> tuple[int, int, str, float]:
    """Number of the mutant, first seed that finds it or 0, as what, and how long that took."""
    quiet()
    began_s = time.perf_counter()
    mutant = MUTANTS[number]
    for seed in range(1, limit + 1):
        found = finds(mutant, seed)
        if found:
            return number, seed, " ".join(sorted(found)), time.perf_counter() - began_s
    return number, 0, "", time.perf_counter() - began_s


def draw(mutant: Mutant, seed: int, lang: str) -> str:
    """The smallest world found around `seed` in which the mutant is caught, as a sequence picture (SVG)."""
    with breaking((*mutant.given, *mutant.broken), fresh=mutant.fresh):
        shrunk = shrink(seed)
    assert shrunk is not None
    after = shrunk.after
    found = RESERVATION.search(" ".join(after.violations))
    assert found is not None
    assert after.trace is not None
    say = Say(lang)
    title = say(f"Sin la regla «{mutant.rule}»", f"Without the rule “{mutant.rule}”")
    events = about(after.trace.events, found[0])
    return as_svg(events, say, title=title, verdict=after.violations)


def main() -> None:
    """Search, and say what was found; the table above is for whoever reads it to correct."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--svg", type=Path, help="shrink the one chosen and draw it here instead")
    parser.add_argument("--lang", default="es", help="of the picture")
    parser.add_argument("--seed", type=int, help="of the picture, if not the table's")
    parser.add_argument("--limit", type=int, default=LIMIT, help="seeds to try, from 1 on")
    parser.add_argument("--only", default="", help="rules that contain this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    chosen = parser.parse_args()
    if chosen.svg is not None:
        quiet()
        (mutant,) = (mutant for mutant in MUTANTS if chosen.only in mutant.rule)
        picture = draw(mutant, chosen.seed or mutant.seed, chosen.lang)
        chosen.svg.write_text(picture, encoding="utf-8")
        return
    numbers = [at for at, mutant in enumerate(MUTANTS) if chosen.only in mutant.rule]
    with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool:
        for number, seed, found, took_s in pool.imap_unordered(
            partial(search, limit=chosen.limit), numbers
        ):
            mutant = MUTANTS[number]
            note = "" if seed == mutant.seed else f" (table: {mutant.seed})"
            line = f"{seed or 'none':>5}{note}  {found or '-':<12} {took_s:6.1f} s  {mutant.rule}"
            print(line, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
