"""A write stage may begin with a model's answer; what became of it is recorded."""

import pytest
from django.urls import reverse

from annotation import queue, submissions
from annotation.content import suggestion_use
from annotation.models import Submission
from tests.annotation.factories import add_answer, make_prompt, make_stage

SKY = "The sky is blue because air scatters short waves more than long ones."


@pytest.mark.parametrize(
    ("text", "use"),
    [
        (SKY, "kept"),
        (f"  {SKY}\r\n", "kept"),
        (SKY.replace("because", "since"), "edited"),
        ("Air scatters short waves.", "edited"),
        ("Rayleigh.", "discarded"),
        ("It is a matter of how light meets molecules.", "discarded"),
    ],
)
def test_the_rule(text: str, use: str) -> None:
    assert suggestion_use(SKY, text) == use


def test_the_rule_without_spaces() -> None:
    assert suggestion_use("空が青いのは散乱のため", "空が青い理由は散乱だ") == "edited"
    assert suggestion_use("空が青いのは散乱のため", "海") == "discarded"


def test_the_editor_begins_with_the_latest_answer_of_that_name(as_user, cast) -> None:
    prompt = make_prompt(cast.project, answers=[("old", "desk-1"), ("other", "x")])
    latest = add_answer(prompt, SKY, "desk-1")
    stage = make_stage(cast.project, source_name="desk-1")
    page = as_user(cast.ana).get(reverse("annotation:work", args=[stage.pk]))
    assert page.context["text"] == SKY and page.context["suggestion"] == SKY
    turn = Submission.objects.get()
    assert (turn.suggestion, turn.draft) == (latest, {})
    done = submissions.submit(submission=turn, user=cast.ana, content={"text": "Rayleigh."})
    done.refresh_from_db()
    assert done.suggestion_use == "discarded"


def test_without_such_an_answer_it_begins_empty(cast) -> None:
    make_prompt(cast.project, answers=[("other", "x")])
    turn = queue.claim(make_stage(cast.project, source_name="desk-1"), cast.ana)
    assert turn.suggestion_id is None
    done = submissions.submit(submission=turn, user=cast.ana, content={"text": "other"})
    assert done.suggestion_use == ""
