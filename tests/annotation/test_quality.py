"""What a stage's quality is made of, who sees which part, and when it is measured again."""

from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from annotation import (
    adjudication,
    gold,
    measuring,
    quality,
    quality_page,
    queue,
    reviewing,
    submissions,
)
from annotation.agreement import cohen_kappa, kendall_tau_b
from annotation.models import Item, Measurement, Stage, Submission
from annotation.quality_people import agreement, common_answers, ratio
from annotation.quality_questions import Question, likeness
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db
RUBRIC = [
    {"key": "good", "title": "How good?", "help": "", "type": "rating", "about": "answer"}
    | {"required": True, "low": 1, "high": 5},
    {"key": "kind", "title": "What kind?", "help": "", "type": "label", "about": "prompt"}
    | {"required": True, "options": [{"value": v, "label": v.upper()} for v in ("x", "y")]},
    {"key": "flaws", "title": "What flaws?", "help": "", "type": "labels", "about": "answer"}
    | {"required": False, "options": [{"value": v, "label": v.upper()} for v in ("p", "q")]},
    {"key": "note", "title": "A note", "help": "", "type": "text", "about": "prompt"}
    | {"required": False},
]


def url(name: str, *args) -> str:
    return reverse(f"annotation:{name}", args=args)


def do(stage: Stage, user, content, seconds: int = 30) -> Submission:
    turn = queue.claim(stage, user)
    assert turn is not None
    given = content(turn) if callable(content) else content
    return submissions.submit(submission=turn, user=user, content=given, active_seconds=seconds)


def first_wins(turn) -> dict:
    """By the item's own order of its answers, however they were shown."""
    return {"order": [[pk] for pk in turn.item.candidates]}


def second_wins(turn) -> dict:
    return {"order": [[pk] for pk in turn.item.candidates[::-1]]}


def tie(turn) -> dict:
    return {"order": [sorted(turn.shown)]}


@pytest.fixture
def pairs(cast) -> Stage:
    """Three comparisons by Ana and Bea: the same, opposite, a tie against a preference."""
    stage = make_stage(cast.project, "rank", overlap=2)
    for n in range(3):
        make_prompt(cast.project, f"Q{n}", answers=[("A", "alpha"), ("B", "beta")])
    for user, said in (
        (cast.ana, (first_wins, first_wins, first_wins)),
        (cast.bea, (first_wins, second_wins, tie)),
    ):
        for content in said:
            do(stage, user, content)
    return stage


def of(result, key: str) -> dict:
    return next(each for each in result["questions"] if each["key"] == key)


def person(result, user) -> dict:
    return next(each for each in result["people"] if each["rater"] == user.pk)


def test_choices_by_the_items_own_order_and_the_items_disagreement(cast, pairs):
    result = quality.compute(pairs)
    choice = of(result, "choice")
    assert [line["count"] for line in choice["said"]] == [4, 1, 1]
    assert choice["pairs"] == []  # three items in common are too few for a kappa
    same = next(each for each in choice["figures"] if each["metric"] == "same")
    assert same["value"] == pytest.approx(1 / 3)
    assert list(Item.objects.order_by("pk").values_list("disagreement", flat=True)) == [0, 100, 50]
    wins = {line["source"]: line["won"] for line in result["results"]["wins"]}
    assert wins == pytest.approx({"alpha": 4.5 / 6, "beta": 1.5 / 6})


def test_what_was_not_measured_anew_is_left_and_what_is_undone_is_cleared(cast, pairs):
    quality.compute(pairs)
    with_writes = quality.write_disagreement(quality.load(pairs), {})
    assert with_writes == 3
    assert quality.write_disagreement(quality.load(pairs), {}) == 0
    quality.compute(pairs)
    submissions.undo(stage=pairs, user=cast.bea)
    quality.compute(pairs)
    assert list(Item.objects.order_by("pk").values_list("disagreement", flat=True)) == [
        0,
        100,
        None,
    ]


def test_a_fix_counts_for_the_winners_and_not_for_its_authors_agreement(cast, pairs):
    before = quality.compute(pairs)
    Stage.objects.update(review_share=100)
    bad = Submission.objects.get(user=cast.bea, item=Item.objects.order_by("pk")[1])
    Submission.objects.filter(pk=bad.pk).update(review="waiting")
    bad.refresh_from_db()
    reviewing.fix(submission=bad, reviewer=cast.rui, content=first_wins(bad), comment="No")
    after = quality.compute(pairs)
    assert of(after, "choice")["said"] == of(before, "choice")["said"]
    assert person(after, cast.bea)["agreement"] == person(before, cast.bea)["agreement"]
    assert person(after, cast.bea)["reviews"] == {"fix": 1}
    assert person(after, cast.bea)["accepted"]["value"] == 0
    assert after["results"]["wins"][0]["won"] == pytest.approx(5.5 / 6)


def test_a_decision_speaks_for_the_item_and_measures_those_who_did_it(cast, pairs):
    item = Item.objects.order_by("pk")[1]
    chosen = Submission.objects.get(item=item, user=cast.bea)
    adjudication.adjudicate(item=item, author=cast.lee, submission=chosen)
    result = quality.compute(pairs)
    assert person(result, cast.bea)["decided"]["value"] == 1
    assert person(result, cast.ana)["decided"]["value"] == 0
    # Items: both for the first (2 to 0), the decision (0 to 1), and 1.5 to 0.5.
    assert result["results"]["wins"][0]["won"] == pytest.approx(3.5 / 5)


def test_gold_is_left_out_and_measured_apart(cast, pairs, as_user):
    item = Item.objects.order_by("pk")[1]
    gold.make_gold(item=item, content=first_wins(Submission(item=item)), author=cast.lee)
    result = quality.compute(pairs)
    assert (result["items"], result["compared"]) == (2, 2)
    assert person(result, cast.ana)["gold"]["value"] == 1
    assert person(result, cast.bea)["gold"]["value"] == 0
    assert result["gold"]["score"]["value"] == 0.5
    assert Item.objects.get(pk=item.pk).disagreement is None
    page = as_user(cast.lee).get(url("gold", pairs.pk)).content.decode()
    assert "Bea 0 %" in page and "Ana 100 %" in page


def test_longer_rankings(cast):
    stage = make_stage(cast.project, "rank", overlap=2)
    make_prompt(cast.project, "Q", answers=["A", "B", "C"])
    do(stage, cast.ana, first_wins)
    a, b, c = Item.objects.get().candidates
    do(stage, cast.bea, {"order": [[a], [c], [b]]})
    ranking = of(quality.compute(stage), "ranking")
    figures = {each["metric"]: each["value"] for each in ranking["figures"]}
    assert figures == {"tau": pytest.approx(1 / 3), "top": 1.0, "same": 0.0}
    assert Item.objects.get().disagreement == 33


def test_rankings_pair_by_pair_are_tau_b():
    orders = [((0,), (1,), (2,)), ((2,), (0, 1)), ((0, 1, 2),), ((1, 2), (0,)), ((2, 1), (0,))]
    alike = likeness(Question("ranking", "", "comparison", "ranking"))
    for one in orders:
        for other in orders:
            tau = kendall_tau_b(one, other)
            wanted = None if tau is None else pytest.approx((tau + 1) / 2)
            assert alike(one, other) == wanted


@pytest.fixture
def rated(cast) -> Stage:
    stage = make_stage(cast.project, "rate", overlap=2, rubric=RUBRIC)
    for n in range(2):
        make_prompt(cast.project, f"Q{n}", answers=["A", "B"])

    def said(good, kind, flaws):
        return lambda turn: {
            "ratings": {
                "good": {
                    str(pk): value for pk, value in zip(turn.item.candidates, good, strict=True)
                },
                "kind": kind,
                "flaws": {str(pk): flaws for pk in turn.shown},
                "note": "words",
            }
        }

    do(stage, cast.ana, said((1, 5), "x", ["p"]))
    do(stage, cast.ana, said((2, 4), "x", []))
    do(stage, cast.bea, said((1, 3), "x", ["p"]))
    do(stage, cast.bea, said((2, 4), "y", ["q"]))
    return stage


def test_each_question_has_its_metric(rated):
    result = quality.compute(rated)
    leads = [(each["key"], each["figures"][0]["metric"]) for each in result["questions"]]
    assert leads == [("good", "ordinal"), ("kind", "nominal"), ("flaws", "same")]  # no text
    good = of(result, "good")
    assert good["figures"][0]["units"] == 4  # an answer each
    assert [line["label"] for line in of(result, "flaws")["options"]] == ["P", "Q"]
    # The first item: a rating two of four apart on one of two answers; the second: the labels.
    assert list(Item.objects.order_by("pk").values_list("disagreement", flat=True)) == [25, 100]
    by_title = {line["title"]: line for line in result["results"]["questions"]}
    assert by_title["How good?"]["mean"] == pytest.approx((1 + 4 + 2 + 4) / 4)
    assert by_title["How good?"]["highest"] == 3 and by_title["How good?"]["lowest"] == 2.5
    assert by_title["What kind?"]["ties"] == 1
    assert [line["majority"] for line in by_title["What kind?"]["labels"]] == [1, 0]


def test_free_text_is_said_to_have_no_agreement(cast, as_user):
    stage = make_stage(cast.project, "correct", overlap=2)
    make_prompt(cast.project, "Q", answers=["A"])
    do(stage, cast.ana, {"text": "A", "unchanged": True})
    do(stage, cast.bea, {"text": "Better"})
    result = quality.compute(stage)
    assert result["questions"] == []
    shares = {line["said"]: line["value"] for line in result["texts"]["shares"]}
    assert shares == {"left as it was": 0.5, "corrected": 0.5}
    page = as_user(cast.rui).get(url("quality", stage.pk)).content.decode()
    assert "free text has no agreement" in page


def test_two_people_who_share_all_agree_as_cohen_says():
    """With one other person the agreement is Cohen's kappa, but for the interval."""
    a = [0, 0, 1, 1, 2, 2, 0, 1, 0, 0, 2, 1]
    b = [0, 1, 1, 1, 2, 0, 0, 1, 0, 2, 2, 0]
    question = Question("q", "Q", "prompt", "label", words={0: "", 1: "", 2: ""})
    for item, (mine, theirs) in enumerate(zip(a, b, strict=True)):
        question.units[item, 0] = {1: mine, 2: theirs}
    for share, by_question in agreement([question]).values():
        assert share is not None
        assert share.value == pytest.approx(cohen_kappa(a, b))
        assert share.low < share.value < share.high and share.n == 12
        assert by_question["q"].value == pytest.approx(share.value)


def test_the_common_answer_is_the_one_most_like_all():
    equal = likeness(Question("q", "", "prompt", "label"))
    assert common_answers([("a", 1.0), ("b", 1.0), ("b", 1.0)], equal) == ["b"]
    assert common_answers([("a", 1.0), ("b", 1.0)], equal) == ["a", "b"]
    assert common_answers([("a", 0.9), ("b", 0.2), ("b", 0.2)], equal) == ["a"]
    near = likeness(Question("q", "", "prompt", "rating", spread=4))
    assert common_answers([(1, 1.0), (3, 1.0), (5, 1.0)], near) == [3]


def test_a_ratio_counts_rows_as_often_as_there_are_such():
    assert ratio([(1, 2, 3), (0, 2, 1)]) == ratio([(1, 2, 1)] * 3 + [(0, 2, 1)])
    assert ratio([(1, 1, 1)]) is None


def test_it_is_measured_again_when_something_changed(cast, pairs, as_user):
    client = as_user(cast.rui)
    client.get(url("quality", pairs.pk))
    first = Measurement.objects.get()
    client.get(url("quality", pairs.pk))
    assert Measurement.objects.get().computed == first.computed
    submissions.undo(stage=pairs, user=cast.bea)
    client.get(url("quality", pairs.pk))
    assert Measurement.objects.get().result["submissions"] == 5
    before = Measurement.objects.get().computed
    assert client.post(url("quality_measure", pairs.pk)).status_code == 302
    assert Measurement.objects.get().computed > before


def test_a_large_stage_is_measured_by_a_worker(cast, pairs, as_user, monkeypatch):
    monkeypatch.setattr("annotation.quality_data.SMALL", 2)
    asked = []
    monkeypatch.setattr("annotation.measuring._send", asked.append)
    client = as_user(cast.rui)
    page = client.get(url("quality", pairs.pk)).content.decode()
    assert "It is being measured for the first time" in page and 'hx-trigger="every 3s"' in page
    found = Measurement.objects.get()
    measuring.measure(found.pk, {"quality": lambda row: quality.compute(row.stage)})
    Measurement.objects.update(computed=timezone.now() - timedelta(hours=2))
    page = client.get(url("quality", pairs.pk)).content.decode()
    assert "It is being measured again" in page and "Which answer is better" in page


def test_a_failure_is_said_beside_the_last_figures(cast, pairs, as_user, monkeypatch):
    client = as_user(cast.rui)
    client.get(url("quality", pairs.pk))

    def broken(_):
        raise RuntimeError("no luck")

    monkeypatch.setattr("annotation.quality.load", broken)
    page = client.post(url("quality_measure", pairs.pk), follow=True).content.decode()
    assert "no luck" in page and "figures below are from an earlier one" in page


def test_how_people_work_is_for_leads_and_for_oneself(cast, pairs, as_user):
    page = url("quality", pairs.pk)
    assert 'id="people"' not in as_user(cast.rui).get(page).content.decode()
    assert 'id="people"' in as_user(cast.lee).get(page).content.decode()
    for user, status in ((cast.ana, 200), (cast.bea, 403), (cast.rui, 403), (cast.lee, 200)):
        found = as_user(user).get(url("person", pairs.pk, cast.ana.pk))
        assert found.status_code == status
        if status == 200:  # what others said is not for annotators
            assert ("stands most alone" in found.content.decode()) is (user == cast.lee)
            assert user == cast.lee or "Bea" not in found.content.decode()
    assert as_user(cast.otto).get(url("person", pairs.pk, cast.otto.pk)).status_code == 404
    assert as_user(cast.lee).get(url("person", pairs.pk, cast.olga.pk)).status_code == 404
    assert as_user(cast.olga).get(url("person", pairs.pk, cast.olga.pk)).status_code == 200


def test_the_items_that_divide_come_first_and_page_on(cast, pairs, as_user, monkeypatch):
    quality.compute(pairs)
    monkeypatch.setattr("annotation.quality_page.SHOWN", 1)
    [worst], more = quality_page.disputed(pairs, cast.lee)
    assert worst.item.disagreement == 100 and more
    assert sorted(worst.said) == [("the first answer is better", 1), ("the second is better", 1)]
    after = (worst.item.disagreement, worst.item.prompt_id)
    [next_one], more = quality_page.disputed(pairs, cast.lee, after)
    assert next_one.item.disagreement == 50 and not more
    page = as_user(cast.rui).get(url("quality", pairs.pk)).content.decode()
    assert reverse("annotation:item", args=[worst.item.pk]) in page


def test_what_a_reviewer_has_in_hand_is_not_told_before_they_hand_it_in(cast, pairs, as_user):
    quality.compute(pairs)
    [worst, *_], _ = quality_page.disputed(pairs, cast.rui)
    Submission.objects.create(item=worst.item, stage=pairs, user=cast.rui, state="draft")
    path = reverse("annotation:item", args=[worst.item.pk])
    assert path not in as_user(cast.rui).get(url("quality", pairs.pk)).content.decode()
    assert path in as_user(cast.lee).get(url("quality", pairs.pk)).content.decode()


def test_the_list_of_what_divides_reads_its_index(cast, pairs):
    rows = quality_page._divided(pairs, cast.rui).order_by("-disagreement", "prompt")[:20]
    if connection.vendor == "sqlite":
        assert "item_disagreement" in rows.explain()


def test_for_programs(cast, pairs, as_user):
    path = reverse("api-stage-quality", args=[pairs.pk])
    for user, sees in ((cast.rui, False), (cast.lee, True)):
        found = as_user(user).get(path).json()
        assert found["state"] == "done" and found["computed"]
        assert ("people" in found["result"]) is sees
        assert found["result"]["submissions"] == 6 and "key" not in found["result"]
