"""What the mesh runs on may be used by a program under Apache-2.0, and the document says so truly."""

import pytest

from tests.contract.licences import PAGE, is_compatible, licence_of, locked, page


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "python3 dev.py docs"


def test_everything_that_runs_has_a_licence_that_lets_us():
    assert len(locked()) > 20
    assert {
        name: licence_of(name) for name in locked() if not is_compatible(licence_of(name))
    } == {}


@pytest.mark.parametrize(
    ("expression", "compatible"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-or-later OR MIT", True),
        ("MIT AND GPL-3.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("", False),
    ],
)
def test_an_expression_is_judged_by_its_alternatives(expression, compatible):
    assert is_compatible(expression) is compatible
