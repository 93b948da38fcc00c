"""The demo holds what it promises, its texts are fit to be read, every page has something on it."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from annotation.models import (
    Adjudication,
    Comment,
    Gold,
    GuidelineVersion,
    Item,
    Membership,
    Prompt,
    Ranking,
    Response,
    Review,
    Stage,
    Submission,
    SubmissionVersion,
    User,
    Workspace,
)
from exports.models import Dataset, Snapshot
from training.demo import judgement, story
from training.demo.content import DRAFTER, TOPICS
from training.models import Run
from training.recipes.configs import parse

ROWS = {topic.slug: list(topic.rows()) for topic in TOPICS}
ALL = [row for rows in ROWS.values() for row in rows]


def load(*options: str) -> str:
    out = StringIO()
    call_command("demo", *options, stdout=out)
    return out.getvalue()


def begin_at_one() -> None:
    """Ids as in a database of its own: what is drawn for review hangs on them, and on PostgreSQL
    those that earlier tests took do not come back."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_models()):
            cursor.execute(statement)


@pytest.fixture(scope="module")
def loaded(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[str]:
    """What the command printed. Loaded once: the tests of this file read, and change nothing."""
    home = tmp_path_factory.mktemp("home")
    with (
        django_db_blocker.unblock(),
        override_settings(
            SNAPSHOT_ROOT=home / "snapshots",
            RUN_ROOT=home / "runs",
            PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ),
        transaction.atomic(),
    ):
        begin_at_one()
        yield load()
        transaction.set_rollback(True)


@pytest.fixture
def demo(loaded, db) -> str:
    return loaded


class TestContent:
    def test_there_is_enough_of_each_kind(self):
        assert len(ROWS["support-desk"]) >= 40
        assert len(ROWS["science-tutor"]) >= 35
        assert sum(len(row.record.messages) > 1 for row in ALL) >= 10
        assert sum(bool(row.record.context) for row in ALL) >= 12
        languages = Counter(row.record.metadata["language"] for row in ALL)
        assert set(languages) >= {"en", "de", "es", "fr", "pt", "ja", "ar"}
        assert languages.total() - languages["en"] >= 8

    def test_no_prompt_comes_twice(self):
        assert len({row.record.external_id for row in ALL}) == len(ALL)
        assert len({row.record.messages[-1]["content"] for row in ALL}) == len(ALL)

    @pytest.mark.parametrize("row", ALL, ids=lambda row: row.record.external_id)
    def test_a_row_is_fit_to_be_read(self, row):
        answers = row.record.answers
        assert 1 <= len(answers) <= 4
        assert len({answer.author_name for answer in answers}) == len(answers)
        texts = [a.text for a in answers] + [t for t in (row.written, row.corrected) if t]
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert text == text.strip()
            assert 1 <= len(text.split()) <= 150
            assert 1 <= row.quality[text] <= 5
            assert text.count("**") % 2 == 0
            assert "$" not in text  # no page renders LaTeX
        if row.is_corrected:
            assert DRAFTER in {answer.author_name for answer in answers}
        roles = [message["role"] for message in row.record.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]

    def test_answers_differ_in_quality_and_length(self):
        qualities = Counter(round(q) for row in ALL for q in row.quality.values())
        assert all(qualities[level] >= 10 for level in (1, 2, 3, 4, 5))
        words = [len(answer.text.split()) for row in ALL for answer in row.record.answers]
        assert min(words) == 1
        assert max(words) > 100

    def test_longer_is_not_better(self):
        """Else a reward model learns nothing but length from it."""
        pairs = [
            (one, other)
            for row in ALL
            for one in row.record.answers
            for other in row.record.answers
            if row.quality[one.text] > row.quality[other.text]
        ]
        share = sum(len(one.text) > len(other.text) for one, other in pairs) / len(pairs)
        assert 0.45 < share < 0.7

    @pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.slug)
    def test_guidelines_have_examples(self, topic):
        assert topic.guidelines.count("\n## ") >= 3
        assert "| before | after |" in topic.guidelines
        assert re.search(r"^> 1\. ", topic.guidelines, re.M)


def test_every_row_is_imported_without_refusal_or_note(demo):
    assert Prompt.objects.live().count() == len(ALL)
    for slug, rows in ROWS.items():
        report = Workspace.objects.get().projects.get(slug=slug).imports.get().report
        assert report["rows"] == report["imported"] == len(rows)
        assert report["refused"] == report["notes"] == []
        assert report["responses"] == sum(len(row.record.answers) for row in rows)


def test_it_tells_the_story_to_its_end(demo):
    for slug, works in story.WORK.items():
        for work in works:
            stage = Stage.objects.get(project__slug=slug, name=work.name)
            turns = stage.submissions.exclude(review="returned")
            returned = stage.submissions.filter(review="returned", state="draft").count()
            assert turns.filter(state="submitted").count() + returned == work.until
            assert turns.filter(state="draft").count() == len(work.drafts)
            skips = {
                (turn.item.prompt.external_id, str(turn.user)): (turn.skip_reason, turn.skip_note)
                for turn in turns.filter(state="skipped").select_related("item__prompt", "user")
            }
            assert skips == {key: skip for key, skip in work.skips.items() if key in skips}
            assert len(skips) == len(work.skips)
            assert stage.items.filter(open=True).count() >= 5  # half-done: there is work left
            people = set(turns.filter(state="submitted").values_list("user__name", flat=True))
            assert people == {"Ana", "Bea", "Caio"}
    assert Stage.objects.filter(kind="rank", overlap=2).count() == 2
    marks = [
        mark
        for turn in Submission.objects.filter(stage__kind="rate", state="submitted")
        for mark in turn.ratings["how-helpful-is-it"].values()
    ]
    assert {1, 5} <= set(marks) and len(marks) > 9  # both ends of the scale, of several answers
    assert Ranking.objects.filter(strength=None).exists()
    assert any(len(group) > 1 for ranking in Ranking.objects.all() for group in ranking.order)
    assert Submission.objects.filter(unchanged=True).exists()
    assert Response.objects.filter(corrects__isnull=False).count() >= 15
    flagged = set(Item.objects.filter(flagged=True).values_list("prompt__external_id", flat=True))
    assert flagged == {"support-005", "science-015"}


def test_the_work_is_judged(demo):
    reviews = Counter(Review.objects.values_list("decision", flat=True))
    named = {"accept": judgement.ACCEPTED, "return": judgement.RETURNED, "fix": judgement.FIXED}
    assert reviews == {decision: len(prompts) for decision, prompts in named.items()}
    waiting = Submission.objects.filter(review="waiting", state="submitted")
    assert waiting.filter(stage__name="Write").count() == 4
    assert Adjudication.objects.get().note
    assert Gold.objects.count() == 3
    asked = Submission.objects.filter(item__gold__isnull=False, state="submitted")
    assert set(asked.values_list("user__name", flat=True)) == {"Ana", "Bea", "Caio"}
    assert Comment.objects.count() == 3
    assert set(GuidelineVersion.objects.values_list("number", flat=True)) == {1, 2}


def test_it_lies_in_the_last_two_weeks(demo):
    now = timezone.now()
    turns = Submission.objects.filter(state="submitted")
    first, last = (turns.order_by(f"{sign}submitted").first().submitted for sign in ("", "-"))
    assert now - timedelta(days=15) < first < now - timedelta(days=8)
    assert now - timedelta(days=4) < last < now
    for turn in turns:
        assert turn.created < turn.submitted
        assert turn.submitted.weekday() < 5
        assert 20 < turn.active_seconds < 900
    assert SubmissionVersion.objects.filter(created__gt=now - timedelta(hours=1)).count() == 0


def test_datasets_and_runs(demo):
    kinds = {"Support SFT": "sft", "Support preferences": "preference", "Tutor prompts": "prompts"}
    assert dict(Dataset.objects.values_list("name", "kind")) == kinds
    for snapshot in Snapshot.objects.all():
        assert (snapshot.state, snapshot.number) == ("ready", 1)
        assert all(snapshot.counts[split] >= 1 for split in ("train", "validation", "test"))
    assert set(Dataset.objects.values_list("preview__state", flat=True)) == {"done"}
    preferences = Snapshot.objects.get(dataset__name="Support preferences")
    assert 0.5 < preferences.stats["longer_wins"]["share"] < 0.75
    base, sft = Run.objects.order_by("pk")
    assert (base.recipe, base.state) == ("convert", Run.State.QUEUED)
    assert (sft.recipe, sft.state) == ("sft", Run.State.WAITING)
    assert parse("sft", sft.config)
    assert sft.inputs.get(name="model").source == base
    assert str(sft.inputs.get(name="snapshot").snapshot) == "Support SFT v1"


def test_people_can_log_in_and_are_told_how(demo, settings):
    roles = dict(Membership.objects.values_list("user__name", "role"))
    assert roles == story.PEOPLE
    assert [user.name for user in User.objects.filter(is_superuser=True)] == ["Olga"]
    for email in User.objects.values_list("email", flat=True):
        assert email in demo
        assert Client().login(username=email, password=story.PASSWORD)
    assert story.PASSWORD in demo
    assert settings.BASE_URL in demo


def test_every_page_has_something_on_it(demo):
    workspace = Workspace.objects.get()
    project = workspace.projects.get(slug="support-desk")
    prompt = project.prompts.get(external_id="support-019")
    stage = {kind: project.stages.get(kind=kind) for kind in ("write", "correct", "rate", "rank")}
    dataset = Dataset.objects.get(kind="sft")
    run = Run.objects.get(recipe="sft")
    shown = {
        ("annotation:home", None): ["Support desk", "Science tutor"],
        ("annotation:workspace", workspace.slug): ["Support desk", "Science tutor"],
        ("annotation:people", workspace.slug): ["caio@example.org", "reviewer"],
        ("annotation:project", project.pk): [">Correct</a>", ">Rank</a>"],
        ("annotation:guidelines", project.pk): ["Three questions, in this order"],
        ("annotation:prompts", project.pk): ["support-001"],
        ("annotation:prompt", prompt.pk): ["double charge", "draft-c"],
        ("annotation:imports", project.pk): ["support-desk.jsonl"],
        ("annotation:stage", stage["rank"].pk): ["Judge help first", "Bea"],
        ("annotation:work", stage["write"].pk): ["<textarea"],
        ("annotation:work", stage["correct"].pk): ["<textarea"],
        ("annotation:work", stage["rate"].pk): ["How helpful is it?", "Tone"],
        ("annotation:work", stage["rank"].pk): ["Judge help first"],
        ("exports:datasets", workspace.slug): list(Dataset.objects.values_list("name", flat=True)),
        ("exports:dataset", dataset.pk): ["Support SFT"],
        ("exports:snapshot", dataset.snapshots.get().pk): [dataset.snapshots.get().sha256[:8]],
        ("training:runs", workspace.slug): ["SFT on Support SFT v1"],
        ("training:run", run.pk): ["SFT on Support SFT v1"],
    }
    client = Client()
    client.force_login(User.objects.get(name="Lee"))
    for (name, key), texts in shown.items():
        page = client.get(reverse(name, args=[key] if key else []))
        assert page.status_code == 200, name
        for text in texts:
            assert text in page.content.decode(), (name, text)


def test_ana_goes_on_where_she_was(demo):
    client = Client()
    client.force_login(User.objects.get(name="Ana"))
    page = client.get(reverse("annotation:home")).content.decode()
    assert "<b>Rank, Support desk</b>" in page


def test_a_second_call_changes_nothing(demo):
    def state() -> dict[str, int]:
        models = (User, Prompt, Response, Item, Submission, Dataset, Snapshot, Run)
        return {model.__name__: model.objects.count() for model in models}

    before, password = state(), User.objects.get(name="Ana").password
    assert "nothing was changed" in load()
    assert state() == before
    assert User.objects.get(name="Ana").password == password
