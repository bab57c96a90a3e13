"""What opens something is too long to guess, comes from the right source and is compared in constant time."""

import ast
import re
from pathlib import Path

from chassis import runtime
from gateway.domain import reservation_id_of
from tests.support.mesh import mesh

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"manage_token", "token", "chaos_token", "admin_token"}


async def test_what_opens_a_reservation_cannot_be_guessed(tmp_path):
    async with mesh(tmp_path) as m:
        mine, other = (await m.reserve()).json(), (await m.reserve(user_id="luis")).json()
    for one in (mine, other):
        assert re.fullmatch("r[0-9a-f]{32}", one["reservation_id"])
        assert re.fullmatch("[0-9a-f]{32}", one["manage_token"])
    assert mine["reservation_id"] != other["reservation_id"]
    assert mine["manage_token"] != other["manage_token"]
    # With the same key, another secret makes another reservation: the key alone tells nothing.
    assert reservation_id_of("one", "s", "k") != reservation_id_of("another", "s", "k")


def test_ids_of_a_real_process_have_128_bits_from_the_system():
    made = {runtime.real().new_id() for _ in range(64)}
    assert len(made) == 64
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


def compared(node: ast.Compare) -> set[str]:
    sides = [node.left, *node.comparators]
    return {
        side.attr if isinstance(side, ast.Attribute) else side.id
        for side in sides
        if isinstance(side, ast.Attribute | ast.Name)
    }


def test_no_secret_is_compared_byte_by_byte():
    """`==` tells by its time how far two strings agree. (The token of a hold fences; it is no secret.)"""
    found = []
    for folder in ("gateway", "reservations", "payments", "notifications", "chassis"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                is_equality = isinstance(node, ast.Compare) and any(
                    isinstance(one, ast.Eq | ast.NotEq) for one in node.ops
                )
                if is_equality and compared(node) & SECRETS:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
