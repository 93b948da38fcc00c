"""Prompts by hand: the list, the page, adding, editing, retiring."""

import pytest
from django.urls import reverse

from annotation import prompts, queue, submissions
from annotation.errors import Refused
from annotation.models import Import, Prompt
from tests.annotation.factories import add_answer, make_prompt, make_stage


def post(client, view, /, *args, **data):
    return client.post(reverse(f"annotation:{view}", args=args), data)


def listed(client, project, **query) -> list[str]:
    response = client.get(reverse("annotation:prompts", args=[project.pk]), query)
    return [prompt.external_id for prompt in response.context["page"].rows]


def user(text):
    return [{"role": "user", "content": text}]


# The list ---------------------------------------------------------------------------------------


def test_the_list_is_paged_by_id_both_ways(as_user, cast):
    for number in range(120):
        make_prompt(cast.project, f"Question {number}", external_id=f"p{number:03d}")
    client = as_user(cast.rui)
    url = reverse("annotation:prompts", args=[cast.project.pk])
    first = client.get(url).context["page"]
    assert (first.rows[0].external_id, len(first.rows), first.before) == ("p000", 50, None)
    second = client.get(url, {"after": first.after}).context["page"]
    assert second.rows[0].external_id == "p050"
    last = client.get(url, {"after": second.after}).context["page"]
    assert ([p.external_id for p in last.rows][-1], last.after) == ("p119", None)
    back = client.get(url, {"before": last.before}).context["page"]
    assert [p.pk for p in back.rows] == [p.pk for p in second.rows]
    start = client.get(url, {"before": back.before}).context["page"]
    assert [p.pk for p in start.rows] == [p.pk for p in first.rows]
    assert start.before is None


@pytest.mark.parametrize("search", ["réunion", "Réunion", "SHIP TO", "id-7", "status page"])
def test_search(as_user, cast, search):
    make_prompt(cast.project, "Do you ship to Réunion? réunion!", external_id="id-7")
    make_prompt(cast.project, "Other", external_id="other")
    Prompt.objects.filter(external_id="id-7").update(context="The status page says so.")
    assert listed(as_user(cast.rui), cast.project, q=search) == ["id-7"]


def test_percent_and_quotes_are_text(as_user, cast):
    make_prompt(cast.project, 'He said "100 % sure_"', external_id="a")
    make_prompt(cast.project, "Nothing", external_id="b")
    client = as_user(cast.rui)
    assert listed(client, cast.project, q='"100 % sure_"') == ["a"]
    assert listed(client, cast.project, q="%") == ["a"]


def test_filters(as_user, cast):
    make_prompt(cast.project, "One", answers=["yes"], external_id="answered")
    make_prompt(cast.project, "Two", external_id="unanswered")
    prompts.retire(prompt=make_prompt(cast.project, "Three", external_id="retired"))
    client = as_user(cast.rui)
    assert listed(client, cast.project) == ["answered", "unanswered"]
    for show in ("answered", "unanswered", "retired"):
        assert listed(client, cast.project, show=show) == [show]


def test_rows_of_an_unfinished_import_are_not_there_yet(as_user, cast):
    batch = Import.objects.create(project=cast.project, state="running")
    prompt = make_prompt(cast.project, batch=batch)
    client = as_user(cast.lee)
    assert listed(client, cast.project) == []
    assert client.get(reverse("annotation:prompt", args=[prompt.pk])).status_code == 404


# The page ---------------------------------------------------------------------------------------


def test_the_page_shows_answers_with_their_origin_and_who_ranked_them(as_user, cast):
    prompt = make_prompt(
        cast.project, "Why <b>blue</b>?", answers=["Scattering.", ("Magic. <img src=x>", "gpt")]
    )
    stage = make_stage(cast.project, "rank")
    submission = queue.claim(stage, cast.ana)
    a, b = prompt.responses.order_by("pk")
    submissions.submit(
        submission=submission,
        user=cast.ana,
        content={"order": [[b.pk], [a.pk]]},
        version=submission.version,
    )
    add_answer(prompt, "A correction.", "Bea", origin="human", corrects=a)
    page = as_user(cast.rui).get(reverse("annotation:prompt", args=[prompt.pk])).content.decode()
    assert "B &gt; A" in page and "corrects A" in page and "gpt" in page
    assert "<b>blue</b>" not in page and "<img" not in page


# Adding -----------------------------------------------------------------------------------------


def test_a_prompt_is_typed(as_user, cast):
    response = post(
        as_user(cast.lee),
        "prompt_new",
        cast.project.pk,
        question="And why is it red then?",
        earlier='[{"role": "user", "content": "Why blue?"}, '
        '{"role": "assistant", "content": "Scattering."}]',
        context="Sunset.",
        metadata='{"topic": "light"}',
        external_id="sky-2",
    )
    prompt = Prompt.objects.get()
    assert response.url == reverse("annotation:prompt", args=[prompt.pk])
    assert [m["content"] for m in prompt.messages] == [
        "Why blue?",
        "Scattering.",
        "And why is it red then?",
    ]
    assert (prompt.external_id, prompt.context, prompt.metadata) == (
        "sky-2",
        "Sunset.",
        {"topic": "light"},
    )


def test_the_id_is_the_hash_where_none_is_given(cast):
    prompt = prompts.add_prompt(project=cast.project, messages=user("Why?"))
    assert prompt.external_id == prompt.fingerprint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"question": ""}, "required"),
        ({"question": "x", "earlier": "[1]"}, "Turn 1 needs a role"),
        ({"question": "x", "earlier": '{"a": 1}'}, "list of turns"),
        ({"question": "x", "earlier": "[{"}, "valid JSON"),
        ({"question": "x", "metadata": "[]x"}, "valid JSON"),
        ({"question": "x", "metadata": "[1]"}, "an object"),
        ({"question": "  Why   is the sky blue? "}, "already, as “there”"),
        ({"question": "Other", "external_id": "there"}, "“there” is here already"),
        ({"question": "\u200b"}, "the prompt is empty"),
    ],
)
def test_what_cannot_be_taken_is_said_and_kept(as_user, cast, data, words):
    make_prompt(cast.project, "Why is the sky blue?", external_id="there")
    response = post(as_user(cast.lee), "prompt_new", cast.project.pk, **data)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert Prompt.objects.count() == 1


# Editing ----------------------------------------------------------------------------------------


def test_a_fresh_prompt_is_edited(as_user, cast):
    prompt = make_prompt(cast.project, "Why is teh sky blue?", answers=["Scattering."])
    post(as_user(cast.lee), "prompt_edit", prompt.pk, question="Why is the sky blue?")
    before = prompt.fingerprint
    prompt.refresh_from_db()
    assert prompt.question == "Why is the sky blue?"
    assert prompt.fingerprint != before
    assert prompt.root_key == prompts.root_key(prompt.messages)


def worked_on(cast, how):
    prompt = make_prompt(cast.project, "Why is the sky blue?", external_id="sky")
    if how == "a claim":
        queue.claim(make_stage(cast.project), cast.ana)
    elif how == "a model's answer":
        add_answer(prompt, "Scattering.", "sft", origin="model")
    else:
        answer = add_answer(prompt, "Scattering.")
        make_prompt(cast.project, "And then?", parent=answer, root=prompt)
    return prompt


@pytest.mark.parametrize("how", ["a claim", "a model's answer", "a further turn"])
def test_a_prompt_that_was_worked_on_keeps_its_text(as_user, cast, how):
    prompt = worked_on(cast, how)
    client = as_user(cast.lee)
    page = post(client, "prompt_edit", prompt.pk, question="Why is it green?").content.decode()
    assert "“sky” has been worked on" in page and "Retire it" in page
    prompt.refresh_from_db()
    assert prompt.question == "Why is the sky blue?"
    data = {"question": "Why is the sky blue?", "metadata": '{"a": 1}'}
    assert post(client, "prompt_edit", prompt.pk, **data).status_code == 302
    prompt.refresh_from_db()
    assert prompt.metadata == {"a": 1}


def test_editing_keeps_line_ends_and_what_a_turn_holds_besides(as_user, cast):
    messages = [{"role": "user", "content": " One\nTwo ", "name": "Kim"}]
    prompt = make_prompt(cast.project, messages=messages, context="A\r\nB")
    add_answer(prompt, "x", origin="model")
    data = {"question": " One\r\nTwo ", "context": "A\r\nB", "metadata": '{"a": 1}'}
    assert post(as_user(cast.lee), "prompt_edit", prompt.pk, **data).status_code == 302
    prompt.refresh_from_db()
    assert (prompt.messages, prompt.context) == (messages, "A\r\nB")


def test_an_edit_does_not_make_a_double(cast):
    make_prompt(cast.project, "One", external_id="one")
    prompt = make_prompt(cast.project, "Two")
    with pytest.raises(Refused, match="“one”"):
        prompts.edit_prompt(prompt=prompt, messages=user("One"), system="", context="", metadata={})


# Retiring ---------------------------------------------------------------------------------------


def test_a_retired_prompt_leaves_the_queue_and_comes_back(as_user, cast):
    stage = make_stage(cast.project)
    prompt = make_prompt(cast.project)
    queue.fill(stage)
    client = as_user(cast.lee)
    post(client, "prompt_retire", prompt.pk)
    assert queue.claim(stage, cast.ana) is None
    post(client, "prompt_restore", prompt.pk)
    assert queue.claim(stage, cast.ana).item.prompt == prompt


def test_the_form_shows_what_is_stored_and_nothing_for_nothing(as_user, cast):
    prompt = make_prompt(cast.project, "Why?", metadata={"Thema": "Übung"})
    client = as_user(cast.lee)
    page = client.get(reverse("annotation:prompt_edit", args=[prompt.pk])).content.decode()
    assert "&quot;Thema&quot;: &quot;Übung&quot;" in page
    for name, pk in [("prompt_edit", prompt.pk), ("prompt_new", cast.project.pk)]:
        assert "null" not in client.get(reverse(f"annotation:{name}", args=[pk])).content.decode()


def test_json_that_is_none_comes_back_as_it_was_typed(as_user, cast):
    page = post(as_user(cast.lee), "prompt_new", cast.project.pk, question="x", metadata="{oops")
    assert "{oops" in page.content.decode()
