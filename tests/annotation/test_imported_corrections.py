"""An imported answer that corrects another one of its row."""

from typing import Any

import pytest

from annotation.errors import Refused
from annotation.importing import Answer, Record, add_records
from annotation.models import Response


def corrected(*answers: Answer) -> Record:
    return Record(messages=[{"role": "user", "content": "Sky?"}], answers=list(answers))


@pytest.fixture
def add(cast):
    def add_to_project(*records: Record, **rest: Any) -> dict[str, Any]:
        return add_records(project=cast.project, records=records, source="test", **rest)

    return add_to_project


def test_a_correction_points_to_what_it_corrects(add) -> None:
    add(corrected(Answer("Gren."), Answer("Green."), Answer("Blue.", corrects=0)))
    assert list(Response.objects.order_by("id").values_list("text", "corrects__text")) == [
        ("Gren.", None),
        ("Green.", None),
        ("Blue.", "Gren."),
    ]


def test_a_correction_of_an_answer_that_was_there(add) -> None:
    add(corrected(Answer("Gren.")))
    report = add(corrected(Answer("Gren."), Answer("Blue.", corrects=0)))
    assert (report["updated"], report["responses"]) == (1, 1)
    assert Response.objects.get(text="Blue.").corrects == Response.objects.get(text="Gren.")


def test_a_correction_that_changes_nothing_is_no_second_answer(add) -> None:
    add(corrected(Answer("Blue."), Answer("Blue.", corrects=0)))
    assert list(Response.objects.values_list("text", "corrects")) == [("Blue.", None)]


@pytest.mark.parametrize("place", [-1, 1, 2])
def test_a_correction_stands_after_what_it_corrects(add, place: int) -> None:
    with pytest.raises(Refused, match="answer 2 corrects an answer that does not stand before it"):
        add(corrected(Answer("Gren."), Answer("Blue.", corrects=place)))
    assert not Response.objects.exists()
