"""The part of JSON path that is understood means what the Chaos Toolkit's library means by it; the rest is refused."""

import pytest

from chaos.experiment.jsonpath import JsonPath
from tests.unit.chaos.experiment.paths import CASES, DOCUMENT, NOT_UNDERSTOOD


@pytest.mark.parametrize(("path", "values"), CASES)
def test_a_path_leads_where_it_says(path, values):
    assert JsonPath(path).values(DOCUMENT) == values


@pytest.mark.parametrize("path", NOT_UNDERSTOOD)
def test_a_path_with_more_than_that_is_refused(path):
    with pytest.raises(ValueError, match=r"JSON path begins|not understood"):
        JsonPath(path)
