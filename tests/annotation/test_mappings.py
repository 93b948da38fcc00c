"""Column mappings: by name, by what they fit, by what columns are called."""

import pytest

from annotation import mappings
from annotation.columns import Column, suggested
from annotation.errors import Refused
from annotation.layouts import check_mapping, converter
from annotation.models import ColumnMapping


def keep(cast, name: str, mapping: dict[str, str]) -> ColumnMapping:
    return mappings.keep(workspace=cast.acme, name=name, mapping=mapping, user=cast.lee)


def test_what_fits_and_which_first(cast) -> None:
    small = keep(cast, "small", {"prompt": "Q"})
    large = keep(cast, "large", {"prompt": "Q", "response": "A"})
    keep(cast, "none", {"prompt": "Question"})
    assert mappings.offered(cast.acme, ["q", "a", "x"]) == [large, small]
    assert mappings.offered(cast.acme, ["Q"]) == [small]
    assert mappings.offered(cast.other, ["Q", "A"]) == []
    assert mappings.fits_all(large.mapping, ["q", "a"])
    assert not mappings.fits_all(large.mapping, ["q", "a", "x"])


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\0b"])
def test_names_that_are_none(cast, name: str) -> None:
    with pytest.raises(Refused, match="1 to 100 characters"):
        keep(cast, name, {"prompt": "Q"})


def test_a_mapping_that_is_none_is_not_kept(cast) -> None:
    for mapping in ({}, {"response": "A"}, {"prompt": ""}, {"prompt": "Q", "nothing": "A"}):
        with pytest.raises(Refused):
            keep(cast, "x", mapping)
    assert not ColumnMapping.objects.exists()


def test_a_name_that_is_not_there_names_those_that_are(cast) -> None:
    keep(cast, "small", {"prompt": "Q"})
    assert mappings.named(cast.acme, "small").mapping == {"prompt": "Q"}
    with pytest.raises(Refused, match="no saved mapping “large” .* “small”"):
        mappings.named(cast.acme, "large")


def by_names(*names: str) -> dict[str, str]:
    return suggested([Column(name) for name in names])


def test_names_suggest_what_columns_hold() -> None:
    assert by_names("ID", "Question", "Answer", "Topic") == {
        "prompt": "Question",
        "response": "Answer",
        "external_id": "ID",
        "metadata.Topic": "Topic",
    }
    assert by_names("user query", "best answer", "second-answer") == {
        "prompt": "user query",
        "response.best answer": "best answer",
        "response.second-answer": "second-answer",
    }
    pair = by_names("prompt", "response", "chosen", "rejected")
    assert set(pair) == {"prompt", "chosen", "rejected", "metadata.response"}
    check_mapping(pair)
    assert "chosen" not in by_names("prompt", "chosen")
    assert by_names("was", "is") == {}


def test_several_answers_of_a_row() -> None:
    said: list[str] = []
    mapping = {"prompt": "q", "response.old": "a", "response.new": "b", "response.third": "c"}
    row = {"q": "Sky?", "a": "Blue.", "b": " Blue.", "c": ""}
    [record] = converter("mapping", mapping)(row, said.append)
    assert [(one.text, one.author_name) for one in record.answers] == [("Blue.", "old")]
    assert "the response “new” says the same as another one: taken once" in said
    with pytest.raises(Refused, match="a row is one or the other"):
        check_mapping({"chosen": "a", "rejected": "b", "response.x": "c"})
