"""What `make audit` makes of the answers that it gets."""

import sys

from dev import RUN_LOCK
from tests.advisories import asked, told, unanswered

REPORT = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "bad", "version": "2.0", "vulns": [{"id": "X-1", "fix_versions": ["2.1", "3.0"]}]},
        {"name": "lost", "version": "3.0", "vulns": [{"id": "X-2", "fix_versions": []}]},
        {"name": "odd", "skip_reason": "not found"},
    ]
}


def test_every_advisory_is_told_with_what_mends_it():
    assert list(told(REPORT)) == ["bad 2.0: X-1 (→ 2.1, 3.0)", "lost 3.0: X-2 (→ –)"]


def test_a_package_of_which_nothing_was_said_is_not_taken_for_a_good_one():
    """A mirror without advisories answers so for every package, and pip-audit would leave with 0."""
    assert unanswered(REPORT) == ["odd"]


def test_no_answer_is_not_taken_for_a_good_one():
    """This interpreter has no pip-audit: it fails as it does where the source cannot be reached."""
    assert asked(sys.executable, RUN_LOCK) is None
