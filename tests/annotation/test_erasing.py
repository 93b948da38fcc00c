"""Erasure: nothing of what was written is left in any row; what stays is structure and numbers."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from annotation import (
    actions,
    activity,
    adjudication,
    comments,
    erasing,
    gold,
    people,
    queue,
    reviewing,
    search_index,
    submissions,
)
from annotation.errors import Refused
from annotation.models import (
    Activity,
    Adjudication,
    Comment,
    Erasure,
    Import,
    Item,
    Membership,
    Prompt,
    Ranking,
    Response,
    Review,
    Role,
    Submission,
    SubmissionVersion,
    User,
)
from annotation.people import SHELL, Actor
from tests.annotation.factories import make_prompt, make_stage

SECRET = "xyzzy-secret"


def rows_with(word: str) -> list[str]:
    """The tables of this database in which some column of some row holds the word."""
    found = []
    for model in apps.get_models():
        columns = [field.column for field in model._meta.concrete_fields]
        text = " || '|' || ".join(f"COALESCE(CAST(\"{name}\" AS text), '')" for name in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT COUNT(*) FROM "{model._meta.db_table}" WHERE LOWER({text}) LIKE %s',
                [f"%{word.lower()}%"],
            )
            if cursor.fetchone()[0]:
                found.append(model.__name__)
    return sorted(found)


def member(user) -> Membership:
    rows = Membership.objects.select_related("workspace", "user")
    return rows.exclude(workspace__slug="other").get(user=user)


def olga(cast) -> Actor:
    return Actor(user=cast.olga, role=Role.OWNER)


def erase(cast, user, **more) -> Erasure:
    return erasing.erase_person(membership=member(user), by=olga(cast), **more)


@pytest.fixture
def zelda(cast):
    """An annotator whose every word is the secret."""
    user = User.objects.create_user(f"zelda-{SECRET}@example.org", f"Zelda {SECRET}")
    Membership.objects.create(workspace=cast.acme, user=user, role=Role.REVIEWER)
    return user


@pytest.fixture
def written(cast, zelda):
    """Zelda's answer, rewritten, reviewed; Bea's beside it."""
    make_prompt(cast.project, "Question 0")
    stage = make_stage(cast.project, overlap=2, review_share=100)
    turn = queue.claim(stage, zelda)
    submissions.submit(submission=turn, user=zelda, content={"text": f"first {SECRET}"})
    again = submissions.reopen(submission=turn, user=zelda)
    submissions.submit(submission=again, user=zelda, content={"text": f"second {SECRET}"})
    theirs = queue.claim(stage, cast.bea)
    submissions.submit(submission=theirs, user=cast.bea, content={"text": "by Bea"})
    return stage


# A person


def test_nothing_of_a_person_is_left_in_any_row(cast, zelda, written) -> None:
    prompt = Prompt.objects.get()
    turn = Submission.objects.get(user=zelda)
    beas = Submission.objects.get(user=cast.bea)
    reviewing.accept(submission=turn, reviewer=cast.lee, comment=f"as {SECRET} says")
    reviewing.fix(submission=beas, reviewer=zelda, content={"text": f"fixed {SECRET}"})
    comments.add(prompt=prompt, author=zelda, text=f"a remark, {SECRET}")
    rate = make_stage(cast.project, "rank")
    item = Item.objects.create(
        stage=rate, prompt=prompt, position=1, needed=1, candidates=[1, 2], open=False
    )
    adjudication.adjudicate(
        item=Item.objects.get(stage=written),
        author=cast.lee,
        submission=turn,
        note=f"{SECRET} it is",
    )
    activity.record(
        workspace=cast.acme, actor=cast.lee, what="changed the role of", subject=str(zelda)
    )
    activity.record(workspace=cast.acme, actor=zelda, what="did", detail=f"by {zelda.email}")
    people.invite(
        workspace=cast.acme, email=f"other-{SECRET}@example.org", role=Role.ANNOTATOR, by=SHELL
    )
    assert "Invitation" in rows_with(SECRET)
    cast.acme.invitations.all().delete()
    assert len(rows_with(SECRET)) >= 6 and item.pk
    states = list(Submission.objects.order_by("pk").values_list("state", flat=True))
    events = SubmissionVersion.objects.count()

    found = erase(cast, zelda, reason="asked for")

    assert rows_with(SECRET) == []
    assert list(Submission.objects.order_by("pk").values_list("state", flat=True)) == states
    assert SubmissionVersion.objects.count() == events
    assert found.submissions == [turn.pk]
    turn.refresh_from_db()
    assert turn.submitted and turn.draft == {} and turn.user_id == zelda.pk
    # Bea's own words are there, count again, and wait for another review.
    beas.refresh_from_db()
    assert beas.draft == {"text": "by Bea"} and beas.review == "waiting"
    assert [row.text for row in Response.objects.filter(withdrawn=None)] == ["by Bea"]
    assert Adjudication.objects.get().withdrawn
    assert Review.objects.count() == 2
    zelda.refresh_from_db()
    assert not zelda.is_active and not zelda.has_usable_password()
    assert Activity.objects.filter(subject="somebody").exists()


def test_the_rankings_of_an_erased_person_count_no_more(cast, zelda) -> None:
    make_prompt(cast.project, "Q", ["one", "two"])
    stage = make_stage(cast.project, "rank")
    turn = queue.claim(stage, zelda)
    order = [[pk] for pk in turn.shown]
    submissions.submit(
        submission=turn,
        user=zelda,
        content={"order": order, "strength": 4, "reason": f"far better, {SECRET}"},
    )
    erase(cast, zelda)
    ranking = Ranking.objects.get()
    assert ranking.withdrawn and ranking.order == [] and ranking.strength is None
    assert rows_with(SECRET) == []


def test_what_they_held_goes_back_without_its_draft(cast, zelda) -> None:
    make_prompt(cast.project, "Q")
    stage = make_stage(cast.project)
    turn = queue.claim(stage, zelda)
    submissions.save_draft(submission=turn, user=zelda, content={"text": SECRET}, version=0)
    erase(cast, zelda)
    assert queue.claim(stage, cast.ana).item_id == turn.item_id
    assert rows_with(SECRET) == []


def test_later_turns_that_repeat_an_answer_lose_it_too(cast, zelda) -> None:
    first = make_prompt(cast.project, "Hello")
    answer = Response.objects.create(
        prompt=first, text=f"said {SECRET}", origin="human", author=zelda, fingerprint="f"
    )
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": f" said  {SECRET} "},
        {"role": "user", "content": "And then?"},
    ]
    second = make_prompt(cast.project, messages=turns, parent=answer, root=first)
    reply = Response.objects.create(prompt=second, text="more", origin="human", fingerprint="g")
    longer = [*turns, {"role": "assistant", "content": "more"}]
    third = make_prompt(cast.project, messages=longer, parent=reply, root=first)
    found = erase(cast, zelda)
    assert found.prompts == [second.pk, third.pk] and rows_with(SECRET) == []
    third.refresh_from_db()
    assert [turn["content"] for turn in third.messages] == ["Hello", "", "And then?", "more"]
    assert third.retired is None


def test_work_imported_under_their_name_goes_where_it_is_named(cast, zelda) -> None:
    batch = Import.objects.create(
        project=cast.project, state="done", filename="raters.jsonl", path="/data/raters.jsonl"
    )
    prompt = make_prompt(cast.project, "Q")
    for name in ("Z", "Other"):
        Response.objects.create(
            prompt=prompt,
            text=f"by {name} {SECRET if name == 'Z' else ''}",
            author_name=name,
            origin="imported",
            fingerprint=name,
            batch=batch,
        )
    stage = make_stage(cast.project, "rank", state="imported")
    item = Item.objects.create(stage=stage, prompt=prompt, position=1, needed=2)
    for name in ("Z", "Other"):
        Submission.objects.create(
            item=item, stage=stage, rater=name, origin="import", state="submitted", reason=name
        )
    found = erase(cast, zelda, names=["Z"])
    assert [each.filename for each in erasing.imports_of(found)] == ["raters.jsonl"]
    assert rows_with(SECRET) == []
    assert Response.objects.get(author_name="Other").text == "by Other "
    assert Submission.objects.get(rater="Other").reason == "Other"
    assert Submission.objects.get(rater__startswith="erased-").reason == ""


def test_an_account_that_is_elsewhere_too_stays_there(cast, zelda, written) -> None:
    Membership.objects.create(workspace=cast.other, user=zelda, role=Role.ANNOTATOR)
    found = erase(cast, zelda)
    zelda.refresh_from_db()
    assert zelda.is_active and SECRET in zelda.email
    assert not zelda.memberships.filter(workspace=cast.acme).exists()
    person = Submission.objects.get(pk=found.submissions[0]).user
    assert person.pk == found.subject != zelda.pk and not person.is_active
    assert rows_with(SECRET) == ["User"]
    assert not Submission.objects.filter(user=zelda).exists()


def test_other_workspaces_are_not_touched(cast, zelda, written) -> None:
    Membership.objects.create(workspace=cast.other, user=zelda, role=Role.ANNOTATOR)
    theirs = cast.other.projects.create(name="P", slug="p")
    prompt = make_prompt(theirs, "Q")
    Response.objects.create(
        prompt=prompt, text="kept", origin="human", author=zelda, fingerprint="k"
    )
    erase(cast, zelda)
    assert Response.objects.get(text="kept").author == zelda


@pytest.mark.parametrize("role", [Role.LEAD, Role.ANNOTATOR])
def test_only_owners_erase(cast, zelda, role) -> None:
    with pytest.raises(Refused, match="Only an owner"):
        erasing.erase_person(membership=member(zelda), by=Actor(cast.lee, role))
    with pytest.raises(Refused, match="Only an owner"):
        erasing.erase_prompt(prompt=make_prompt(cast.project), by=Actor(cast.lee, role))


def test_nobody_erases_themselves_nor_the_last_owner(cast) -> None:
    with pytest.raises(Refused, match="Another owner"):
        erase(cast, cast.olga)
    with pytest.raises(Refused, match="last owner"):
        erasing.erase_person(membership=member(cast.olga), by=SHELL)
    assert not Erasure.objects.exists()


def test_it_can_be_run_again(cast, zelda, written) -> None:
    erase(cast, zelda)
    with pytest.raises(Refused, match="is closed"):
        people.reactivate(membership=member(zelda), by=olga(cast))
    again = erase(cast, zelda)
    assert again.submissions and rows_with(SECRET) == []


# A prompt


@pytest.fixture
def told(cast):
    """A prompt with everything on it, all of it the secret; a second turn, and another prompt."""
    prompt = make_prompt(
        cast.project,
        f"Tell me of {SECRET}",
        [f"one {SECRET}", f"two {SECRET}"],
        external_id="ticket-7",
        metadata={"of": SECRET},
        context=SECRET,
        system=SECRET,
    )
    turns = [*prompt.messages, {"role": "assistant", "content": f"one {SECRET}"}]
    make_prompt(cast.project, messages=turns, parent=prompt.responses.first(), root=prompt)
    make_prompt(cast.project, "Untouched", ["a", "b"])
    stage = make_stage(cast.project, "rank", overlap=2, gold_every=5)
    turn = queue.claim(stage, cast.ana)
    submissions.submit(
        submission=turn,
        user=cast.ana,
        content={"order": [[turn.shown[0]], [turn.shown[1]]], "reason": SECRET, "better": SECRET},
    )
    held = queue.claim(stage, cast.bea)
    submissions.save_draft(submission=held, user=cast.bea, content={"reason": SECRET}, version=0)
    comments.add(prompt=prompt, author=cast.ana, text=SECRET)
    activity.note(cast.lee, "edited", prompt)
    adjudication.adjudicate(
        item=turn.item, author=cast.lee, content={"order": [turn.shown]}, note=SECRET
    )
    gold.make_gold(item=turn.item, content={"order": [turn.shown]}, author=cast.lee, note=SECRET)
    return prompt


def erase_prompt(cast, prompt, **more) -> Erasure:
    return erasing.erase_prompt(prompt=prompt, by=olga(cast), **more)


def test_nothing_of_a_prompt_is_left_in_any_row(cast, told) -> None:
    found = erase_prompt(cast, told)
    assert rows_with(SECRET) == []
    told.refresh_from_db()
    assert told.retired and told.external_id == "ticket-7"
    assert told.messages == [{"role": "user", "content": ""}]
    assert len(found.prompts) == 2 and len(found.responses) == 3
    assert Prompt.objects.filter(retired=None).count() == 1
    assert not Item.objects.filter(prompt__in=found.prompts, open=True).exists()
    assert Comment.objects.get().withdrawn


def test_whoever_is_at_an_erased_prompt_cannot_hand_it_in(cast, told) -> None:
    held = Submission.objects.get(user=cast.bea)
    erase_prompt(cast, told)
    with pytest.raises(submissions.Finished):
        submissions.submit(
            submission=held, user=cast.bea, content={"order": [held.shown]}, version=1
        )
    with pytest.raises(Refused):
        submissions.save_draft(
            submission=held, user=cast.bea, content={"reason": SECRET}, version=1
        )
    assert rows_with(SECRET) == []
    assert queue.claim(held.stage, cast.bea).item.prompt.question == "Untouched"


def test_an_id_that_names_somebody_can_go_too(cast, told) -> None:
    erase_prompt(cast, told, blank_id=True)
    told.refresh_from_db()
    assert told.external_id == f"erased-{told.pk}"


def test_nothing_brings_an_erased_prompt_back(as_user, cast, told, tmp_path) -> None:
    twin = make_prompt(cast.project, f"Alone {SECRET}", external_id="alone")
    for prompt in (told, twin):
        erase_prompt(cast, prompt)
    lee = as_user(cast.lee)
    lee.post(reverse("annotation:prompt_restore", args=[told.pk]))
    act = actions.restore(project=cast.project, prompts=[told.pk, twin.pk], author=cast.lee)
    assert act.changed == 0
    path = tmp_path / "again.jsonl"
    rows = [{"id": name, "prompt": f"Tell me of {SECRET}"} for name in ("ticket-7", "alone")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CommandError):
        call_command("import_prompts", "support-desk", str(path), workspace="acme")
    assert "Prompt" not in rows_with(SECRET)
    assert not Prompt.objects.filter(pk__in=[told.pk, twin.pk], retired=None).exists()
    page = lee.get(reverse("annotation:prompt", args=[told.pk])).content.decode()
    assert "were erased" in page and "Bring back" not in page


def test_an_import_brings_no_text_of_an_erased_document_back(cast, tmp_path) -> None:
    """Its id, or a hash of its text, still names it."""
    path = tmp_path / "texts.jsonl"
    rows = [{"id": "d1", "text": f"All of {SECRET}."}, {"text": f"More of {SECRET}."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    call_command("import_prompts", "support-desk", str(path), workspace="acme")
    for prompt in list(cast.project.prompts.all()):
        erase_prompt(cast, prompt)
    with pytest.raises(CommandError, match="2 rows are refused.*“d1” was erased here"):
        call_command("import_prompts", "support-desk", str(path), workspace="acme")
    assert not rows_with(SECRET)


@pytest.mark.parametrize("page", ["prompt", "prompts", "stage", "item", "turn", "member", "people"])
def test_pages_show_tombstones(as_user, cast, told, page: str) -> None:
    erase_prompt(cast, told)
    erase(cast, cast.ana)
    item = Item.objects.filter(prompt=told).first()
    args = {
        "prompt": told.pk,
        "prompts": cast.project.pk,
        "stage": item.stage_id,
        "item": item.pk,
        "turn": Submission.objects.filter(item=item).first().pk,
        "member": member(cast.ana).pk,
        "people": "acme",
    }[page]
    response = as_user(cast.olga).get(reverse(f"annotation:{page}", args=[args]))
    assert response.status_code == 200 and SECRET not in response.content.decode()


# The doors


def test_an_owner_types_the_address(as_user, cast, zelda, written) -> None:
    url = reverse("annotation:erase_person", args=[member(zelda).pk])
    client = as_user(cast.olga)
    page = client.get(url).content.decode()
    assert "cannot be undone" in page and f"Type {zelda.email} to confirm" in page
    wrong = client.post(url, {"confirm": "zelda", "names": "", "reason": "r"})
    assert wrong.status_code == 400 and b"Nothing was erased" in wrong.content
    assert not Erasure.objects.exists()
    answer = client.post(url, {"confirm": zelda.email, "names": "", "reason": "asked"}, follow=True)
    page = answer.content.decode()
    assert "everything by a person" in page and "asked" in page and "Below is what else" in page
    listed = client.get(reverse("annotation:erasures", args=["acme"])).content.decode()
    assert "a person" in listed and "Olga" in listed


def test_an_owner_types_the_prompts_id(as_user, cast, told) -> None:
    url = reverse("annotation:erase_prompt", args=[told.pk])
    client = as_user(cast.olga)
    assert client.post(url, {"confirm": "ticket-8", "reason": ""}).status_code == 400
    client.post(url, {"confirm": "ticket-7", "reason": ""})
    assert rows_with(SECRET) == []


def test_the_command_asks_and_says_where_it_is_still(cast, told, zelda, monkeypatch) -> None:
    batch = Import.objects.create(project=cast.project, state="done", path="/data/in.jsonl")
    Prompt.objects.filter(pk=told.pk).update(batch=batch)
    monkeypatch.setattr("builtins.input", lambda _: "something else")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase", "prompt", "support-desk", "ticket-7", workspace="acme")
    out = StringIO()
    monkeypatch.setattr("builtins.input", lambda _: "ticket-7")
    call_command("erase", "prompt", "support-desk", "ticket-7", workspace="acme", stdout=out)
    assert "2 prompts, 3 responses" in out.getvalue() and "/data/in.jsonl" in out.getvalue()
    call_command("erase", "person", zelda.email, "--everywhere", "--yes", stdout=out)
    assert rows_with(SECRET) == []
    with pytest.raises(CommandError, match="nobody here"):
        call_command("erase", "person", "nobody@example.org", "--yes", workspace="acme")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's file")
def test_a_compacted_file_holds_nothing_of_it(tmp_path, cast, file_database, zelda) -> None:
    make_prompt(cast.project, "Q")
    stage = make_stage(cast.project)
    turn = queue.claim(stage, zelda)
    for version in range(5):
        text = f"{SECRET} " * (300 - 50 * version)
        submissions.save_draft(submission=turn, user=zelda, content={"text": text}, version=version)
    submissions.submit(submission=turn, user=zelda, content={"text": f"at last {SECRET}"})
    prompt = make_prompt(cast.project, f"of {SECRET.replace('-', '')}", external_id="p9")
    search_index.take_in()
    erase(cast, zelda)
    erase_prompt(cast, prompt)
    call_command("erase", "compact", stdout=StringIO())
    files = list(tmp_path.glob("shared.sqlite3*"))
    words = [SECRET.encode(), SECRET.replace("-", "").encode()]
    held = [(file.name, word) for file in files for word in words if word in file.read_bytes()]
    assert files and held == []


def test_an_erasure_is_dated_when_nothing_is_left(cast, zelda, written) -> None:
    before = timezone.now()
    assert erase(cast, zelda).created - before < timedelta(minutes=1)
    assert Erasure.objects.get().created > before
