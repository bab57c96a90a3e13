"""What one seed means: which faults, which settings, which buyers, when. Pure data, drawn before the run begins.

Swarm testing: each seed leaves out most kinds of faults, so that those it has are not drowned by the rest (Groce et
al., "Swarm Testing", 2012). Settings are drawn too, short lives of holds and few places in the gateway among them.
"""

import random
from dataclasses import dataclass
from typing import Any, Final

from chaos.simulate.network import FAULTS, LinkFaults

EVENT: Final = "concert-01"
OTHER_EVENT: Final = "festival-01"

NEMESES: Final = (
    "crash",
    "crash at a step",
    "crash at a commit",
    "crash at a call",
    "partition",
    "gray link",
    "pause",
    "clock",
    "bad disk",
    "full disk",
)
"""What the nemesis can do."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a seed decides before the run begins.

    Attributes:
        seed: The seed.
        settings: Of the services, by field.
        orchestrators: Processes of reservations.
        link: How links are while chaos lasts.
        disk: `DiskFaults` fields, likewise.
        nemeses: What the nemesis does, of `NEMESES`.
        gap_s: Mean time between two of its acts.
        chaos_s: How long it acts.
        buyers: How many.
        purchases: Of each, one after the other.
        window_s: Buyers come within this time.
        seats: Free seats of `EVENT` and of `OTHER_EVENT`.
        patience_s: How long a buyer waits for an answer.
        declines: Share of cards that the provider declines.
        provider_latency_s: Time of each of its actions.
        servers_give_up: Whether servers cancel a request whose caller has gone.
        strangers: Clients of inventory who hold a seat and go away.
        fresh: Whether the databases begin empty rather than as a first start leaves them.
        calm_s: How long after chaos everything may take to come to its end.
    """

    seed: int
    settings: dict[str, Any]
    orchestrators: int
    link: LinkFaults
    disk: dict[str, float]
    nemeses: tuple[str, ...]
    gap_s: float
    chaos_s: float
    buyers: int
    purchases: int
    window_s: float
    seats: tuple[int, int]
    patience_s: float
    declines: float
    provider_latency_s: float
    servers_give_up: bool
    strangers: int
    fresh: bool
    calm_s: float = 180.0


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    lots = random.Random(f"scenario:{seed}")
    window_s = lots.choice((0.02, 1.0, 4.0, 8.0))
    buyers = lots.choice((2, 4, 6, 8))
    return Scenario(
        seed=seed,
        settings=_settings(lots),
        orchestrators=2 if lots.random() < 0.2 else 1,
        link=_link(lots),
        disk=_disk(lots),
        nemeses=tuple(lots.sample(NEMESES, lots.randint(0, 6))),
        gap_s=lots.choice((0.4, 1.0, 3.0)),
        chaos_s=window_s + lots.choice((3.0, 8.0)),
        buyers=buyers,
        purchases=lots.choice((1, 1, 2)),
        window_s=window_s,
        seats=(lots.choice((1, 2, 3, 8)), lots.choice((4, 12, 30))),
        patience_s=lots.choice((1.0, 6.0, 12.0)),
        declines=lots.choice((0.0, 0.1, 0.5)),
        provider_latency_s=lots.choice((0.0, 0.02, 0.3)),
        servers_give_up=lots.random() < 0.25,
        strangers=lots.choice((0, 0, 0, 0, 0, 0, 1, 2)),
        fresh=lots.random() < 0.02,
    )


def _settings(lots: random.Random) -> dict[str, Any]:
    return {
        "hold_ttl_s": lots.choice((1.0, 4.0, 20.0)),
        "hold_grace_s": lots.choice((0.0, 1.0, 5.0)),
        "sweep_pause_s": lots.choice((0.5, 3.0, 30.0)),
        "provider_timeout_s": lots.choice((1.0, 3.0, 10.0)),
        "gateway_max_inflight": lots.choice((3, 50, 50)),
        "max_inflight": lots.choice((4, 64, 64)),
        "lease_s": lots.choice((2.0, 10.0, 30.0)),
        "reserve_deadline_s": lots.choice((3.0, 5.0, 5.0)),
        "recovery_concurrency": lots.choice((1, 16)),
    }


def _link(lots: random.Random) -> LinkFaults:
    strongest = {
        "slow": 0.3,
        "drop": 0.12,
        "reset": 0.1,
        "duplicate": lots.choice((0.25, 0.25, 1.0)),
        "lost_reply": 0.12,
        "reset_reply": 0.1,
        "hang_up": 0.1,
    }
    chosen = {
        name: lots.random() * strongest[name] if lots.random() < 0.35 else 0.0 for name in FAULTS
    }
    return LinkFaults(latency_s=lots.choice((0.002, 0.005, 0.02)), **chosen)


def _disk(lots: random.Random) -> dict[str, float]:
    return {
        "latency_s": lots.choice((0.0005, 0.002, 0.01)),
        "slow": lots.random() * 0.1 if lots.random() < 0.2 else 0.0,
        "fail_before": lots.random() * 0.05 if lots.random() < 0.2 else 0.0,
        "fail_after": lots.random() * 0.05 if lots.random() < 0.2 else 0.0,
    }
