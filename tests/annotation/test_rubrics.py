"""A rubric in the browser: the editor, the stage's settings around it, what the answers say."""

import json

import pytest
from django.urls import reverse

from annotation import projects, queue, ratings, submissions
from annotation.errors import Refused
from annotation.models import Stage, Submission
from annotation.rubric import checked_rubric, in_force, version
from tests.annotation.factories import make_prompt, make_stage
from tests.annotation.test_projects import STAGE

TONE = {"title": "Tone", "type": "rating", "about": "prompt", "low": 1, "high": 5}
TOPIC = {
    "title": "Topic",
    "type": "label",
    "about": "prompt",
    "options": [{"label": "Science"}, {"label": "Sport"}],
}


def form(*rows, seen="", act="save"):
    """The editor's form with these questions, as a browser sends it."""
    data = {"count": len(rows), "seen": seen, "act": act}
    for n, row in enumerate(rows):
        data |= {f"{n}-{part}": value for part, value in row.items()}
    return data


def row(**parts):
    return {"title": "Tone", "type": "rating", "about": "prompt", "low": "1", "high": "5", **parts}


@pytest.fixture
def editor(as_user, cast):
    """`editor(stage, *rows)`: the form sent by Lee, the answer, the stage afterwards."""
    client = as_user(cast.lee)

    def send(stage, *rows, htmx=False, **options):
        headers = {"HX-Request": "true"} if htmx else {}
        url = reverse("annotation:rubric_edit", args=[stage.pk])
        answer = client.post(url, form(*rows, **options), headers=headers)
        stage.refresh_from_db()
        return answer

    return send


def test_only_leads_edit_a_rubric(check_roles, cast):
    stage = make_stage(cast.project)
    url = reverse("annotation:rubric_edit", args=[stage.pk])
    check_roles(url, at_least="lead")
    check_roles(url, at_least="lead", method="post", data=form(row()))


def test_questions_are_saved_in_their_order_and_empty_ones_left_out(editor, cast):
    stage = make_stage(cast.project)
    answer = editor(
        stage,
        row(title="Tone", required="1"),
        row(title=""),
        row(title="Topic", type="labels", more="Science\r\n\r\nSport"),
    )
    assert answer.url == reverse("annotation:stage", args=[stage.pk])
    tone, topic = stage.rubric
    assert (tone["key"], tone["required"], tone["high"]) == ("tone", True, 5)
    assert (topic["type"], topic["required"]) == ("labels", False)
    assert [option["label"] for option in topic["options"]] == ["Science", "Sport"]


@pytest.mark.parametrize(
    "wrong, words",
    [
        (row(title="", help="Typed help"), "needs a title"),
        (row(title="Typed title", high="0"), "whole number to a higher one"),
        (row(title="Typed title", low="half"), "whole number to a higher one"),
        (row(title="Typed title", high="9" * 400), "whole number to a higher one"),
        (row(title="Typed title", type="label", more="Typed option"), "at least two options"),
        (row(title="Typed title", type="stars"), "The type cannot be that"),
        (row(title="Typed title", about="answer"), "shows no answers"),
        (row(title="Typed \x00 title"), "NUL character"),
        (row(title="<script>alert(1)</script>" * 20), "at most 200"),
    ],
)
def test_a_mistake_is_said_beside_its_field_and_what_was_typed_stays(editor, cast, wrong, words):
    stage = make_stage(cast.project)
    page = editor(stage, row(title="The first"), wrong).content.decode()
    assert stage.rubric == []
    assert 'id="1-' in page and words in page and 'class="errorlist" id="1-' in page
    assert 'aria-invalid="true"' in page
    assert 'value="The first"' in page and "<script>alert(1)" not in page
    for typed in {"Typed title", "Typed help", "Typed option"} & set(wrong.values()):
        assert typed in page


def test_a_count_that_is_none_makes_no_questions(as_user, cast):
    stage = make_stage(cast.project)
    url = reverse("annotation:rubric_edit", args=[stage.pk])
    for count in ("", "x", "-1", "99999", "²", "9" * 5000):
        answer = as_user(cast.lee).post(url, {"count": count, "act": "add", "0-title": "x"})
        assert answer.status_code == 200
    stage.refresh_from_db()
    assert stage.rubric == []


def test_type_and_about_of_a_saved_question_are_fixed(editor, cast):
    stage = make_stage(cast.project, kind="rank")
    projects.set_rubric(stage=stage, questions=[TONE])
    page = editor(stage, row(key="tone", type="text")).content.decode()
    assert "answers hang on it" in page and stage.rubric[0]["type"] == "rating"


def test_a_new_wording_of_an_option_keeps_its_value(editor, cast):
    stage = make_stage(cast.project)
    projects.set_rubric(stage=stage, questions=[TOPIC])
    changed = {**row(key="topic", title="Topic", type="label"), "more": "Arts"}
    changed |= {"value": ["science", "sport"], "label": ["Sciences", ""]}
    editor(stage, changed)
    assert stage.rubric[0]["options"] == [
        {"value": "science", "label": "Sciences"},
        {"value": "arts", "label": "Arts"},
        {"value": "sport", "label": "Sport", "removed": True},
    ]


def test_an_added_question_and_a_removed_one_after_work_has_begun(editor, as_user, cast):
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    projects.set_rubric(stage=stage, questions=[TONE])
    held = queue.claim(stage, cast.ana)
    content = {"text": "Because.", "ratings": {"tone": 4}}
    submissions.submit(submission=held, user=cast.ana, content=content, version=0)
    editor(stage, row(title="Depth", required="1"))
    assert [q["key"] for q in in_force(stage.rubric)] == ["depth"]
    assert Submission.objects.get().ratings == {"tone": 4}
    url = reverse("annotation:rubric_edit", args=[stage.pk])
    page = as_user(cast.lee).get(url).content.decode()
    assert "Work has begun: 1 submission" in page
    assert "1 answer kept" in page and "restore-tone" in page
    # Asked again: the same question, with its answers.
    known = row(key="depth", title="Depth", required="1")
    page = editor(stage, known, act="restore-tone").content.decode()
    assert 'name="1-key" value="tone"' in page and "restore-tone" not in page
    editor(stage, known, row(key="tone", required="1"))
    assert [q["key"] for q in in_force(stage.rubric)] == ["depth", "tone"]


@pytest.mark.parametrize(
    "act, titles, focus",
    [
        ("add", ["One", "Two", "Three", ""], "3-title"),
        ("up-1", ["Two", "One", "Three"], "0-down"),
        ("down-1", ["One", "Three", "Two"], "2-up"),
        ("down-0", ["Two", "One", "Three"], "1-down"),
        ("remove-0", ["Two", "Three"], "0-title"),
        ("remove-2", ["One", "Two"], "1-title"),
        ("up-0", ["One", "Two", "Three"], ""),
        ("down-2", ["One", "Two", "Three"], ""),
        ("up-9", ["One", "Two", "Three"], ""),
        ("remove-x", ["One", "Two", "Three"], ""),
        ("restore-never", ["One", "Two", "Three"], ""),
        ("nonsense", ["One", "Two", "Three"], ""),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_buttons_rearrange_the_form_and_save_nothing(editor, cast, act, titles, focus, htmx):
    stage = make_stage(cast.project)
    rows = [row(title=title) for title in ("One", "Two", "Three")]
    answer = editor(stage, *rows, act=act, htmx=htmx)
    page = answer.content.decode()
    assert [r["title"] for r in answer.context["rows"]] == titles
    assert stage.rubric == []
    assert ("<html" in page) is not htmx
    autofocused = [part for part in page.split("<") if " autofocus" in part]
    assert len(autofocused) == (1 if focus else 0)
    assert not focus or f'id="{focus}"' in autofocused[0]


def test_an_option_is_dropped_by_its_button(editor, cast):
    stage = make_stage(cast.project)
    projects.set_rubric(stage=stage, questions=[TOPIC])
    known = {**row(key="topic", type="label"), "value": ["science", "sport"]}
    answer = editor(stage, {**known, "label": ["Science", "Sport"]}, act="drop-0-0")
    assert answer.context["rows"][0]["kept"] == [("sport", "Sport")]


def test_the_preview_shows_what_is_complete(editor, cast):
    stage = make_stage(cast.project, kind="rank")
    rows = [row(title="Tone"), row(title="Tone", about="answer"), row(title="", help="x")]
    page = editor(stage, *rows, act="preview", htmx=True).content.decode()
    assert 'name="q_tone"' in page and 'name="q_tone-2_A"' in page
    assert "1 question not complete yet" in page
    assert stage.rubric == []


def test_a_rubric_that_changed_meanwhile_is_not_written_over_unseen(editor, cast):
    stage = make_stage(cast.project)
    seen = version(stage.rubric)
    projects.set_rubric(stage=stage, questions=[TOPIC])
    answer = editor(stage, row(), seen=seen)
    assert "Somebody else has changed the rubric" in answer.content.decode()
    assert [q["key"] for q in in_force(stage.rubric)] == ["topic"]
    assert 'value="Tone"' in answer.content.decode()
    editor(stage, row(), seen=answer.context["seen"])
    assert [q["key"] for q in in_force(stage.rubric)] == ["tone"]


def test_questions_about_answers_need_answers(cast):
    each = {**TONE, "about": "answer"}
    for kind in ("correct", "rank", "rate"):
        projects.set_rubric(stage=make_stage(cast.project, kind), questions=[each])
    alone = make_stage(cast.project, "rate", rate_answers=False)
    for stage in (make_stage(cast.project), alone):
        with pytest.raises(Refused) as refused:
            projects.set_rubric(stage=stage, questions=[TONE, each])
        assert refused.value.field == "1-about"


# The stage's settings -----------------------------------------------------------------------------


def create(client, project, **fields):
    url = reverse("annotation:stage_new", args=[project.pk])
    return client.post(url, {**STAGE, **fields})


def test_a_rate_stage_waits_for_its_questions(as_user, cast):
    client = as_user(cast.lee)
    answer = create(client, cast.project, kind="rate", name="Rate", rate_answers="no")
    stage = Stage.objects.get()
    assert answer.url == reverse("annotation:rubric_edit", args=[stage.pk])
    assert (stage.state, stage.rate_answers, stage.shows_answers) == ("paused", False, False)
    with pytest.raises(Refused, match="no question yet"):
        projects.set_state(stage=stage, state="open")
    projects.set_rubric(stage=stage, questions=[TONE])
    projects.set_state(stage=stage, state="open")
    page = client.get(reverse("annotation:stage_edit", args=[stage.pk])).content.decode()
    assert "rate_answers" not in page  # what is rated is fixed


def test_tags_are_typed_one_a_line(as_user, cast):
    create(as_user(cast.lee), cast.project, tags_rank=" Wrong \r\n\r\nToo long", tags_correct="No")
    assert Stage.objects.get().tags == ["Wrong", "Too long"]


@pytest.mark.parametrize(
    "tags, words",
    [
        ("\n".join(map(str, range(13))), "at most 12"),
        ("x" * 41, "at most 40"),
        ("Wrong\nwrong", "there twice"),
        ("a\x00b", "NUL character"),
    ],
)
def test_wrong_tags_are_refused_beside_the_field(as_user, cast, tags, words):
    answer = create(as_user(cast.lee), cast.project, tags_rank=tags)
    assert any(words.lower() in str(e).lower() for e in answer.context["form"].errors["tags_rank"])
    assert tags.split("\n")[-1].replace("\x00", "") in answer.content.decode().replace("\x00", "")
    assert not Stage.objects.exists()


def test_what_stands_in_a_field_of_another_kind_is_not_judged(as_user, cast):
    answer = create(
        as_user(cast.lee),
        cast.project,
        kind="write",
        tags_rank="x" * 41,
        begin_with="sft",
        max_answers=99,
    )
    assert answer.status_code == 302
    stage = Stage.objects.get()
    assert (stage.tags, stage.source_name, stage.max_answers) == ([], "sft", 9)


def test_a_new_stage_made_by_program_has_the_usual_tags(cast):
    made = {
        kind: projects.create_stage(project=cast.project, kind=kind, name=kind).tags
        for kind in ("write", "correct", "rank", "rate")
    }
    assert made["correct"][0] == "Factual error" and made["rank"][0] == "Wrong"
    assert made["write"] == made["rate"] == []
    none = projects.create_stage(project=cast.project, kind="rank", name="None", tags=[])
    assert none.tags == []
    with pytest.raises(Refused) as refused:
        projects.update_stage(stage=none, tags=["a", "A"])
    assert refused.value.field == "tags"


def test_the_settings_are_changed_and_shown(as_user, cast):
    stage = make_stage(cast.project, "rank", tags=["Wrong"])
    client, url = as_user(cast.lee), reverse("annotation:stage_edit", args=[stage.pk])
    assert "Wrong</textarea>" in client.get(url).content.decode()
    client.post(url, {**STAGE, "tags_rank": "Rude", "reopen": "on"})
    stage.refresh_from_db()
    assert (stage.tags, stage.better_answer, stage.reopen) == (["Rude"], False, True)


def test_programs_read_rubric_and_ratings(as_user, cast):
    make_prompt(cast.project)
    stage = make_stage(cast.project)
    projects.set_rubric(stage=stage, questions=[TONE])
    held = queue.claim(stage, cast.ana)
    content = {"text": "Because.", "ratings": {"tone": 4}}
    submissions.submit(submission=held, user=cast.ana, content=content, version=0)
    client = as_user(cast.lee)
    shown = client.get(f"/api/stages/{stage.pk}/").json()
    assert shown["rubric"][0]["key"] == "tone"
    assert (shown["tags"], shown["better_answer"], shown["rate_answers"]) == ([], True, True)
    [turn] = client.get(f"/api/projects/{cast.project.pk}/submissions/").json()["results"]
    assert (turn["ratings"], turn["tags"], turn["reason"]) == ({"tone": 4}, {}, "")
    assert (turn["suggestion"], turn["suggestion_use"]) == (None, "")
    export = client.get(reverse("annotation:export", args=[cast.project.pk]))
    [line] = b"".join(export.streaming_content).splitlines()
    [turn] = json.loads(line)["submissions"]
    assert (turn["ratings"], turn["tags"], turn["suggestion_use"]) == ({"tone": 4}, {}, "")


# What the answers say -----------------------------------------------------------------------------


def test_the_summary_counts_submissions_and_each_thing_that_was_rated():
    flags = {**TOPIC, "title": "Flags", "type": "labels", "about": "answer"}
    note = {"title": "Note", "type": "text", "about": "prompt"}
    rubric = checked_rubric([TONE, {**TONE, "title": "Each", "about": "answer"}, flags, note], [])
    given = [
        {"tone": 5, "each": {"7": 1, "9": 3}, "flags": {"7": ["science", "sport"]}, "note": "x"},
        {"tone": 2, "each": {"7": 2}, "flags": {"9": ["sport"]}},
        {"gone": 1},
    ]
    tone, each, flag, note = ratings.summary(rubric, given)
    assert (tone["answered"], tone["mean"]) == (2, 3.5)
    assert [v["count"] for v in tone["values"]] == [0, 1, 0, 0, 1]
    assert (each["answered"], each["mean"]) == (2, 2)
    assert [(v["count"], v["share"]) for v in each["values"]][:3] == [(1, 33)] * 3
    assert [(v["label"], v["count"], v["share"]) for v in flag["values"]] == [
        ("Science", 1, 50),
        ("Sport", 2, 100),
    ]
    assert (note["answered"], note["mean"], note["values"]) == (1, None, [])
    assert ratings.summary(rubric, [])[0] == {**tone, "answered": 0, "mean": None} | {
        "values": [{"label": str(n), "count": 0, "share": 0} for n in range(1, 6)]
    }


def test_the_stage_page_reads_the_newest_submissions_and_says_so(as_user, cast, monkeypatch):
    stage = make_stage(cast.project)
    url = reverse("annotation:stage", args=[stage.pk])
    client = as_user(cast.rui)
    assert client.get(url).context["ratings"] is None
    projects.set_rubric(stage=stage, questions=[TONE])
    for n, person in enumerate((cast.ana, cast.bea)):
        make_prompt(cast.project, f"Prompt {n}")
        held = queue.claim(stage, person)
        content = {"text": "Because.", "ratings": {"tone": n + 3}}
        submissions.submit(submission=held, user=person, content=content, version=0)
    page = client.get(url).content.decode()
    assert "answered in 2 of 2" in page and "mean 3.50" in page
    monkeypatch.setattr(ratings, "NEWEST", 1)
    page = client.get(url).content.decode()
    assert "the newest 1 submissions" in page and "mean 4.00" in page
