"""The docs page can be tried: every operation says what it is for in both languages, and shows what goes in and out.

An answer or a body shows the examples of its media type, else those of its schema; each must keep to its schema.
"""

import pytest

from chassis.catalogue import PROBLEMS
from tests.contract.schema import complaints, examples_of
from tests.contract.test_openapi import SERVICES, document, operations

every_service = pytest.mark.parametrize("service", SERVICES)


def media_of(operation):
    """Every (where, media type, media) of an operation: its body and its answers."""
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", kind, media
    for status, response in operation["responses"].items():
        assert response.get("content"), f"{status} has no content"
        for kind, media in response["content"].items():
            yield status, kind, media


@every_service
def test_every_operation_speaks_both_languages(service):
    for name, operation in operations(service):
        for part in ("summary", "description"):
            words = operation.get(part, "").split(" · ")
            assert len(words) == 2, f"{name}: {part}"
            assert all(word.strip() for word in words), f"{name}: {part}"
            assert words[0] != words[1], f"{name}: {part}"


@every_service
def test_every_answer_says_in_both_languages_what_it_means(service):
    for name, operation in operations(service):
        for status, response in operation["responses"].items():
            words = response["description"]
            is_refusal = "application/problem+json" in response["content"]
            assert words.startswith("`") if is_refusal else " · " in words, f"{name} {status}"


@every_service
def test_every_body_and_every_answer_has_an_example_that_keeps_to_its_schema(service):
    whole = document(service)
    for name, operation in operations(service):
        for where, kind, media in media_of(operation):
            shown = examples_of(media, whole)
            assert shown, f"{name} {where} {kind}"
            for value in shown:
                wrong = list(complaints(value, media.get("schema", {}), whole))
                assert wrong == [], f"{name} {where} {kind}"


@every_service
def test_every_model_keeps_to_itself(service):
    whole = document(service)
    for name, schema in whole["components"]["schemas"].items():
        for value in schema.get("examples", ()):
            assert list(complaints(value, schema, whole)) == [], name


@every_service
def test_every_code_of_a_refusal_is_shown_in_both_languages_without_a_hole(service):
    for name, operation in operations(service):
        for status, response in operation["responses"].items():
            problem = response["content"].get("application/problem+json")
            if problem is None:
                continue
            codes = response["description"].replace("`", "").split(" · ")
            wanted = {f"{code}.{lang}" for code in codes for lang in ("es", "en")}
            assert set(problem["examples"]) >= wanted, f"{name} {status}"
            for key, example in problem["examples"].items():
                value, lang = example["value"], key.rpartition(".")[2]
                assert value["code"] in PROBLEMS, f"{name} {status} {key}"
                assert str(value["status"]) == status, f"{name} {status} {key}"
                assert example["summary"] == PROBLEMS[value["code"]].title.render(lang) or (
                    "/chaos" in name  # the switches, which know no catalogue
                )
                assert "{" not in value["title"] + value["detail"], f"{name} {status} {key}"


def test_a_schema_that_is_not_kept_is_noticed():
    """The check itself has teeth, and knows when it does not know."""
    schema = {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}},
        "additionalProperties": False,
    }
    assert list(complaints({"n": None}, schema, {})) == []
    for bad in ({}, {"n": 0}, {"n": "1"}, {"n": True}, {"n": 1, "m": 2}, []):
        assert list(complaints(bad, schema, {})), bad
    with pytest.raises(AssertionError, match="not known here"):
        list(complaints(1, {"minContains": 2}, {}))
