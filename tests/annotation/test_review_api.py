"""Review, adjudication and gold for programs, and what the download says of them."""

import json

import pytest

from annotation import comments, queue, submissions
from annotation.models import Activity, Adjudication, ApiToken, Gold, Submission
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def program(client, cast):
    """`program(cast.rui, "post", path, body)`: (status, answer)."""

    def call(user, method, path, body=None):
        _, secret = ApiToken.issue(user, "a script")
        answer = getattr(client, method)(
            path,
            {} if method == "get" else json.dumps(body or {}),
            content_type="application/json",
            headers={"authorization": f"Bearer {secret}"},
        )
        return answer.status_code, answer.json() if answer.content else None

    return call


@pytest.fixture
def turn(cast) -> Submission:
    prompt = make_prompt(cast.project, answers=["One", "Two"])
    comments.add(prompt=prompt, author=cast.ana, text="Odd question")
    stage = make_stage(cast.project, "rank", review_share=100)
    turn = queue.claim(stage, cast.ana)
    order = [[pk] for pk in turn.shown]
    return submissions.submit(submission=turn, user=cast.ana, content={"order": order})


def test_a_fix_leaves_what_its_author_said(cast, turn, program):
    path = f"/api/submissions/{turn.pk}/"
    mine = [[pk] for pk in turn.shown]
    code, review = program(
        cast.rui,
        "post",
        f"{path}review/",
        {"decision": "fix", "content": {"order": mine[::-1]}, "comment": "The other way"},
    )
    assert (code, review["decision"], review["reviewer"]) == (201, "fix", "rui@example.org")
    _, shown = program(cast.rui, "get", path)
    assert shown["review"] == "fixed" and shown["ranking"]["order"] == mine[::-1]
    assert shown["handed_in"]["order"] == mine
    assert [each["comment"] for each in shown["reviews"]] == ["The other way"]


def test_what_waits_is_a_filter(cast, turn, program):
    path = f"/api/projects/{cast.project.pk}/submissions/"
    _, found = program(cast.rui, "get", f"{path}?review=waiting")
    assert [each["id"] for each in found["results"]] == [turn.pk]
    program(cast.rui, "post", f"/api/submissions/{turn.pk}/review/", {"decision": "accept"})
    _, found = program(cast.rui, "get", f"{path}?review=waiting")
    assert found["results"] == []


@pytest.mark.parametrize(
    "who, sent, code, words",
    [
        ("ana", {"decision": "accept"}, 403, ""),
        ("rui", {"decision": "burn"}, 400, ""),
        ("rui", {"decision": "return"}, 400, "Say what is to be changed"),
        ("rui", {"decision": "fix", "content": {"order": []}}, 400, "which of the two"),
    ],
)
def test_what_is_refused_says_why(cast, turn, program, who, sent, code, words):
    path = f"/api/submissions/{turn.pk}/review/"
    got, answer = program(getattr(cast, who), "post", path, sent)
    assert got == code and words in json.dumps(answer)
    turn.refresh_from_db()
    assert turn.review == "waiting"


def test_a_decision_and_gold_come_and_go(cast, turn, program):
    item = f"/api/items/{turn.item_id}/"
    order = [[pk] for pk in turn.item.candidates]
    assert program(cast.lee, "post", f"{item}adjudication/", {"submission": turn.pk})[0] == 201
    own = {"content": {"order": order}, "note": "clear"}
    assert program(cast.lee, "post", f"{item}adjudication/", own)[1]["content"] == own["content"]
    assert program(cast.lee, "post", f"{item}adjudication/", {})[0] == 400
    assert program(cast.lee, "post", f"{item}gold/", own)[0] == 201
    assert Gold.objects.get().content == own["content"]
    assert program(cast.rui, "delete", f"{item}gold/")[0] == 403
    assert program(cast.lee, "delete", f"{item}gold/")[0] == 204
    assert program(cast.lee, "delete", f"{item}adjudication/")[0] == 204
    assert not Adjudication.objects.filter(withdrawn=None).exists()
    assert Activity.objects.count() == 5


def test_the_download_has_all_of_it(cast, turn, program, client):
    program(cast.rui, "post", f"/api/submissions/{turn.pk}/review/", {"decision": "accept"})
    own = {"content": {"order": [[pk] for pk in turn.item.candidates]}}
    program(cast.lee, "post", f"/api/items/{turn.item_id}/adjudication/", own)
    program(cast.lee, "post", f"/api/items/{turn.item_id}/gold/", own)
    client.force_login(cast.lee)
    answer = client.get(f"/projects/{cast.project.pk}/export.jsonl")
    (line,) = b"".join(answer.streaming_content).splitlines()
    entry = json.loads(line)
    assert [each["text"] for each in entry["comments"]] == ["Odd question"]
    assert entry["gold"][0]["content"] == entry["adjudications"][0]["content"] == own["content"]
    (mine,) = entry["submissions"]
    assert (mine["review"], mine["handed_in"]) == ("accepted", None)
    assert mine["reviews"][0]["decision"] == "accept"
