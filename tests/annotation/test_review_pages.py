"""Review through the pages: the inbox, its decisions, fixes, an item side by side, comments."""

import pytest
from django.db import connection
from django.urls import reverse

from annotation import item_page, queue, review_page, reviewing, submissions
from annotation.models import Comment, Gold, Item, Response, Review, Stage, Submission
from tests.annotation.factories import make_prompt, make_stage

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
LABEL = {
    "key": "topic",
    "title": "Topic",
    "help": "",
    "type": "label",
    "about": "prompt",
    "required": True,
    "options": [{"value": "ship", "label": "Shipping"}, {"value": "app", "label": "The app"}],
}


def url(name: str, pk: int, query: str = "") -> str:
    return reverse(f"annotation:{name}", args=[pk]) + query


def do(stage: Stage, user, **content) -> Submission:
    turn = queue.claim(Stage.objects.select_related("project").get(pk=stage.pk), user)
    assert turn
    said = content or {"text": f"By {user}"}
    return submissions.submit(submission=turn, user=user, content=said)


@pytest.fixture
def stage(cast) -> Stage:
    for n in range(3):
        make_prompt(cast.project, f"Question {n}?")
    return make_stage(cast.project, overlap=2, review_share=100)


def decide(client, turn: Submission, decision: str, **more):
    newest = turn.reviews.order_by("-pk").first()
    form = {"submission": turn.pk, "version": turn.version, "decision": decision}
    form |= {"seen": newest.pk if newest else ""} | more
    headers = more.pop("headers", {})
    form.pop("headers", None)
    return client.post(url("review", turn.stage_id), form, **headers)


def state(turn: Submission) -> tuple[str, str]:
    turn.refresh_from_db()
    return turn.state, turn.review


# The inbox


def test_oldest_first_and_the_next_one_follows_each_decision(as_user, cast, stage) -> None:
    first, second = do(stage, cast.ana), do(stage, cast.ana)
    rui = as_user(cast.rui)
    page = rui.get(url("review", stage.pk))
    assert page.context["turn"] == first and page.context["left"] == 2
    assert "By Ana" in page.content.decode() and "Question 0?" in page.content.decode()
    answer = decide(rui, first, "accept", headers=HTMX)
    assert answer.status_code == 200 and answer.context["turn"] == second
    assert answer["HX-Replace-Url"].endswith(f"?submission={second.pk}")
    body = answer.content.decode()
    assert "<html" not in body and 'data-said="Accepted."' in body
    assert state(first) == ("submitted", "accepted")
    answer = decide(rui, second, "return", comment="Say why.", headers=HTMX)
    assert "That was the last one" in answer.content.decode()
    assert state(second) == ("draft", "returned")


def test_it_works_as_plain_forms_too(as_user, cast, stage) -> None:
    first, second = do(stage, cast.ana), do(stage, cast.bea)
    rui = as_user(cast.rui)
    answer = decide(rui, first, "accept", comment="Clear.")
    assert answer.status_code == 302 and answer.url.endswith(f"?submission={second.pk}")
    assert Review.objects.get().comment == "Clear."
    assert "Accepted." in rui.get(answer.url).content.decode()
    answer = decide(rui, second, "return", comment="Shorter, please.")
    assert answer.url == url("review", stage.pk)
    assert "That was the last one" in rui.get(answer.url).content.decode()


def test_a_return_needs_a_comment_and_a_refusal_keeps_what_was_typed(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    rui = as_user(cast.rui)
    answer = decide(rui, turn, "return", comment="  ", headers=HTMX)
    assert answer.status_code == 422 and "Say what is to be changed" in answer.content.decode()
    assert state(turn) == ("submitted", "waiting")
    answer = decide(rui, turn, "return", comment="Kept words \0", headers=HTMX)
    assert answer.status_code == 422 and "Kept words" in answer.content.decode()
    assert decide(rui, turn, "burn").status_code == 422
    assert not Review.objects.exists()


def test_work_that_changed_meanwhile_is_not_judged_unread(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    rui = as_user(cast.rui)
    back = submissions.reopen(submission=Submission.objects.get(pk=turn.pk), user=cast.ana)
    submissions.submit(submission=back, user=cast.ana, content={"text": "Another answer"})
    answer = decide(rui, turn, "accept", headers=HTMX)
    body = answer.content.decode()
    assert answer.status_code == 422 and "changed it meanwhile" in body
    assert "Another answer" in body and not Review.objects.exists()


def test_the_second_of_two_reviewers_is_told(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    reviewing.accept(submission=turn, reviewer=cast.lee)
    answer = as_user(cast.rui).post(
        url("review", stage.pk),
        {"submission": turn.pk, "version": turn.version, "seen": "", "decision": "return"},
        **HTMX,
    )
    assert answer.status_code == 422 and "Lee came first" in answer.content.decode()
    assert Review.objects.count() == 1


def test_two_reviewers_do_not_begin_with_the_same_one(as_user, cast, stage) -> None:
    first, second = do(stage, cast.ana), do(stage, cast.ana)
    assert as_user(cast.rui).get(url("review", stage.pk)).context["turn"] == first
    assert as_user(cast.lee).get(url("review", stage.pk)).context["turn"] == second
    assert as_user(cast.rui).get(url("review", stage.pk)).context["turn"] == first


def test_nobody_reviews_their_own(as_user, cast, stage) -> None:
    own = do(stage, cast.rui)
    rui = as_user(cast.rui)
    assert rui.get(url("review", stage.pk)).context["turn"] is None
    assert rui.get(url("review", stage.pk, f"?submission={own.pk}")).status_code == 403
    assert decide(rui, own, "accept").status_code == 403
    assert rui.get(url("review_fix", own.pk)).status_code == 403


def test_who_holds_an_item_sees_nobody_elses_work_on_it(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    mine = queue.claim(stage, cast.rui)
    assert mine and mine.item_id == turn.item_id
    rui = as_user(cast.rui)
    assert rui.get(url("review", stage.pk)).context["turn"] is None
    for address in (
        url("review", stage.pk, f"?submission={turn.pk}"),
        url("review_fix", turn.pk),
        url("item", turn.item_id),
        url("turn", turn.pk),
    ):
        assert rui.get(address).status_code == 403, address
    assert decide(rui, turn, "accept").status_code == 403
    submissions.submit(submission=mine, user=cast.rui, content={"text": "Mine"})
    assert rui.get(url("item", turn.item_id)).status_code == 200


def test_back_to_the_last_one_to_decide_anew(as_user, cast, stage) -> None:
    first, second = do(stage, cast.ana), do(stage, cast.ana)
    rui = as_user(cast.rui)
    page = decide(rui, first, "accept", headers=HTMX).content.decode()
    assert f'id="back" href="?submission={first.pk}"' in page
    again = rui.get(url("review", stage.pk, f"?submission={first.pk}"))
    assert "Accept again" in again.content.decode()
    first.refresh_from_db()  # the page that was opened anew knows of the first decision
    answer = decide(rui, first, "return", comment="On second thoughts.", headers=HTMX)
    assert answer.context["turn"] == second and state(first) == ("draft", "returned")
    assert [review.decision for review in first.reviews.order_by("pk")] == ["accept", "return"]


def test_a_reviewer_is_led_from_home(as_user, cast, stage) -> None:
    do(stage, cast.ana)
    page = as_user(cast.rui).get(reverse("annotation:home")).content.decode()
    assert url("review", stage.pk) in page and "1 to review" in page
    assert url("review", stage.pk) not in as_user(cast.ana).get("/").content.decode()
    assert "Waits for your review" in as_user(cast.lee).get("/").content.decode()


def test_the_inbox_reads_only_what_waits(cast, stage) -> None:
    """However much was handed in: an index over what waits."""
    asked = {"stage": stage.pk, "user": cast.rui.pk, "after": 7, "before": 1 << 62}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # so small a table it would read as it is
            cursor.execute("SET LOCAL enable_seqscan = off")
        query = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        cursor.execute(query + review_page.INBOX + " LIMIT 20", asked)
        plan = str(cursor.fetchall())
    assert "Seq Scan on annotation_submission" not in plan, plan
    if connection.vendor == "sqlite":  # PostgreSQL chooses by statistics, which are of other tests
        assert "submission_to_review" in plan, plan
        assert "stage_id=? AND rowid>? AND rowid<?" in plan or "id>?" in plan, plan
        assert "TEMP B-TREE" not in plan, plan


# Returned, at its author's


def test_the_author_sees_who_returned_it_and_why(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    do(stage, cast.ana)
    reviewing.send_back(submission=turn, reviewer=cast.rui, comment="Name the <b>button</b>.")
    ana = as_user(cast.ana)
    work = ana.get(url("work", stage.pk)).content.decode()
    assert "Returned by Rui" in work and "Name the &lt;b&gt;button&lt;/b&gt;." in work
    assert "By Ana" in work  # what was written is there to be changed
    assert "returned by a reviewer" in ana.get("/").content.decode()
    page = ana.get(url("turn", turn.pk)).content.decode()
    assert "returned it" in page and "Name the" in page
    rows = ana.get(url("turns", stage.pk)).context["page"].rows
    assert rows[0].turn == turn and rows[0].said == "returned to you"
    shown = ana.get(url("turns", stage.pk, "?show=returned")).context["page"]
    assert [row.turn for row in shown.rows] == [turn]
    assert ("returned", "Returned", 1) in shown.tabs


def test_what_changed_since_is_shown_when_it_comes_again(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana, text="It is late today")
    reviewing.send_back(submission=turn, reviewer=cast.rui, comment="When?")
    back = queue.claim(stage, cast.ana)
    assert back == turn
    submissions.submit(submission=back, user=cast.ana, content={"text": "It is late tomorrow"})
    page = as_user(cast.rui).get(url("review", stage.pk))
    assert page.context["judged"].since == [
        ("same", "It is late "),
        ("del", "today"),
        ("ins", "tomorrow"),
    ]
    assert "When?" in page.content.decode()


# Fixes


def test_a_fix_counts_and_both_texts_are_shown(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana, text="It is lat")
    rui = as_user(cast.rui)
    page = rui.get(url("review_fix", turn.pk)).content.decode()
    assert "It is lat" in page and "Fix the work of Ana" in page
    form = {"version": turn.version, "seen": "", "text": "It is late", "comment": "A letter"}
    answer = rui.post(url("review_fix", turn.pk), form)
    assert answer.status_code == 302
    assert state(turn) == ("submitted", "fixed") and turn.draft == {"text": "It is lat"}
    fixed = Response.objects.get(text="It is late")
    assert fixed.author == cast.rui and fixed.corrects.text == "It is lat"
    page = as_user(cast.ana).get(url("turn", turn.pk)).content.decode()
    assert "fixed it: what counts is their version" in page and "A letter" in page
    assert "<del>lat</del><ins>late</ins>" in page
    assert ">Reopen<" not in page and "A reviewer stands for it now" in page
    judged = as_user(cast.rui).get(url("review", stage.pk, f"?submission={turn.pk}"))
    assert "It is late" in str(judged.context["judged"].html)


@pytest.mark.parametrize(
    "text, said", [("", "is empty"), ("Before \0", "NUL"), ("By Ana", "Nothing is changed")]
)
def test_a_fix_that_is_refused_keeps_what_was_typed(as_user, cast, stage, text, said) -> None:
    turn = do(stage, cast.ana)
    answer = as_user(cast.rui).post(url("review_fix", turn.pk), {"version": 1, "text": text})
    body = answer.content.decode()
    assert answer.status_code == 422 and said in body and text.rstrip("\0") in body
    assert state(turn) == ("submitted", "waiting")


def test_a_ranking_is_fixed_in_the_same_editor(as_user, cast) -> None:
    make_prompt(cast.project, answers=["One", "Two"])
    stage = make_stage(cast.project, "rank", review_share=100)
    turn = queue.claim(stage, cast.ana)
    first, second = turn.shown
    content = {"order": [[first], [second]], "strength": 2}
    turn = submissions.submit(submission=turn, user=cast.ana, content=content)
    rui = as_user(cast.rui)
    assert "A is slightly better" in rui.get(url("review", stage.pk)).content.decode()
    assert rui.get(url("review_fix", turn.pk)).status_code == 200
    form = {"version": turn.version, "strength": "-3"}
    assert rui.post(url("review_fix", turn.pk), form).status_code == 302
    turn.refresh_from_db()
    assert turn.ranking.order == [[second], [first]] and turn.ranking.strength == -3
    page = rui.get(url("review", stage.pk, f"?submission={turn.pk}"))
    assert page.context["judged"].headline == "B is better"


# What is judged


def test_a_correction_is_read_as_what_changed(as_user, cast) -> None:
    make_prompt(cast.project, answers=["It comes on Monday with the post."])
    stage = make_stage(cast.project, "correct", review_share=100, tags=["wrong fact"])
    turn = queue.claim(stage, cast.ana)
    content = {"text": "It comes on Tuesday with the post."}
    content["tags"] = {str(turn.shown[0]): ["wrong fact"]}
    submissions.submit(submission=turn, user=cast.ana, content=content)
    page = as_user(cast.rui).get(url("review", stage.pk))
    assert "<del>Monday</del><ins>Tuesday</ins>" in page.content.decode()
    assert ("Why", "wrong fact") in page.context["judged"].facts
    assert not page.context["judged"].rewritten


def test_what_is_mostly_rewritten_is_read_as_it_stands() -> None:
    assert review_page.rewritten([("del", "abc"), ("ins", "xyz " * 9), ("same", ".")])
    assert not review_page.rewritten([("same", "a" * 50), ("ins", "b" * 60)])
    assert not review_page.rewritten([("same", "a")])


def test_places_as_sports_write_them() -> None:
    places = review_page.places_of([[7], [3, 9], [4]])
    assert {pk: said for pk, (_, said) in places.items()} == {7: "1", 3: "2=", 9: "2=", 4: "4"}


# An item, side by side


def test_texts_side_by_side_with_their_differences(as_user, cast, stage) -> None:
    one = do(stage, cast.ana, text="It comes on Monday")
    do(stage, cast.bea, text="It comes on Friday")
    rui = as_user(cast.rui)
    page = rui.get(url("item", one.item_id)).content.decode()
    assert "It comes on Monday" in page and "<del>Monday</del><ins>Friday</ins>" in page
    other = Submission.objects.get(user=cast.bea)
    page = rui.get(url("item", one.item_id, f"?against={other.pk}")).content.decode()
    assert "<del>Friday</del><ins>Monday</ins>" in page
    assert rui.get(url("item", one.item_id, "?against=nonsense")).status_code == 200


def test_orders_in_the_items_own_letters(cast) -> None:
    make_prompt(cast.project, answers=["One", "Two"])
    stage = make_stage(cast.project, "rank", overlap=2)
    item = None
    for user in (cast.ana, cast.bea):  # each was shown them in an order of their own
        turn = queue.claim(stage, user)
        item = turn.item
        best, worst = item.candidates
        strength = 3 if turn.shown[0] == best else -3
        content = {"order": [[best], [worst]], "strength": strength}
        submissions.submit(submission=turn, user=user, content=content)
    page = item_page.page(Item.objects.select_related("stage", "prompt").get(pk=item.pk))
    assert [column.verdict for column in page.columns] == ["A is better", "A is better"]
    assert [(line.letter, line.cells) for line in page.orders] == [
        ("A", [("1", False), ("1", False)]),
        ("B", [("2", False), ("2", False)]),
    ]


def test_answers_unlike_the_others_are_marked(cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, "rate", overlap=3, rate_answers=False, rubric=[LABEL])
    for user, topic in ((cast.ana, "ship"), (cast.bea, "ship"), (cast.rui, "app")):
        turn = do(stage, user, ratings={"topic": topic})
    page = item_page.page(Item.objects.select_related("stage", "prompt").get(pk=turn.item_id))
    (line,) = page.ratings
    assert line.cells == [("Shipping", False), ("Shipping", False), ("The app", True)]


def test_the_lead_chooses_one_and_takes_it_back(as_user, cast, stage) -> None:
    one = do(stage, cast.ana)
    other = do(stage, cast.bea)
    lee = as_user(cast.lee)
    answer = lee.post(
        url("item_adjudicate", one.item_id), {"submission": other.pk, "note": "Bea asks back."}
    )
    assert answer.status_code == 302
    page = lee.get(url("item", one.item_id)).content.decode()
    assert "decided" in page and "Bea asks back." in page and ">chosen<" in page
    assert as_user(cast.rui).post(url("item_undecide", one.item_id)).status_code == 403
    lee = as_user(cast.lee)
    lee.post(url("item_undecide", one.item_id))
    assert ">chosen<" not in lee.get(url("item", one.item_id)).content.decode()
    again = lee.post(url("item_undecide", one.item_id), follow=True).content.decode()
    assert "is not decided" in again


def test_the_lead_decides_in_their_own_words(as_user, cast, stage) -> None:
    one = do(stage, cast.ana)
    lee = as_user(cast.lee)
    begun = lee.get(url("item_adjudicate", one.item_id, f"?from={one.pk}")).content.decode()
    assert "By Ana" in begun
    refused = lee.post(url("item_adjudicate", one.item_id), {"text": " ", "note": "Why"})
    assert refused.status_code == 422 and "is empty" in refused.content.decode()
    lee.post(url("item_adjudicate", one.item_id), {"text": "In Lee's words", "note": ""})
    page = lee.get(url("item", one.item_id)).content.decode()
    assert "In Lee&#x27;s words" in page and "in their own words" in page
    other = do(stage, cast.ana)  # of another item
    wrong = lee.post(url("item_adjudicate", one.item_id), {"submission": other.pk})
    assert wrong.status_code == 404


def test_a_lead_who_did_the_item_leaves_it_to_another(as_user, cast, stage) -> None:
    one, mine = do(stage, cast.ana), do(stage, cast.lee)
    assert one.item_id == mine.item_id
    lee = as_user(cast.lee)
    page = lee.get(url("item", one.item_id)).content.decode()
    assert "Choose this" not in page and "another lead decides it" in page
    answer = lee.post(url("item_adjudicate", one.item_id), {"submission": one.pk})
    assert answer.status_code == 422 and "did this item yourself" in answer.content.decode()


def test_gold_is_made_and_ended_on_the_items_page(as_user, cast) -> None:
    make_prompt(cast.project)
    stage = make_stage(cast.project, "rate", rate_answers=False, rubric=[LABEL])
    turn = do(stage, cast.ana, ratings={"topic": "ship"})
    lee = as_user(cast.lee)
    begun = lee.get(url("item_gold", turn.item_id, f"?from={turn.pk}")).content.decode()
    assert 'value="ship" data-key="1" checked' in begun
    assert lee.post(url("item_gold", turn.item_id), {}).status_code == 422
    lee.post(url("item_gold", turn.item_id), {"q_topic": "app", "note": "It says so."})
    assert Gold.objects.get().content == {"ratings": {"topic": "app"}}
    assert "It says so." in lee.get(url("item", turn.item_id)).content.decode()
    assert "It says so." not in as_user(cast.rui).get(url("item", turn.item_id)).content.decode()
    as_user(cast.lee).post(url("item_gold_end", turn.item_id))
    assert not Gold.objects.exists()


def test_a_text_is_no_gold(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    answer = as_user(cast.lee).get(url("item_gold", turn.item_id), follow=True)
    assert "has no one right answer" in answer.content.decode()


# Comments


def test_an_annotator_comments_from_the_work(as_user, cast, stage) -> None:
    turn = queue.claim(stage, cast.ana)
    ana = as_user(cast.ana)
    assert (
        url("comment_new", turn.item.prompt_id) in ana.get(url("work", stage.pk)).content.decode()
    )
    said = ana.post(url("comment_new", turn.item.prompt_id), {"comment": "How late?"}, **HTMX)
    assert said.status_code == 200 and b"with the reviewers" in said.content
    submissions.submit(submission=turn, user=cast.ana, content={"text": "Late"})
    assert "How late?" in ana.get(url("turn", turn.pk)).content.decode()
    assert "How late?" in as_user(cast.rui).get(url("review", stage.pk)).content.decode()
    bea = as_user(cast.bea)
    assert bea.post(url("comment_new", turn.item.prompt_id), {"comment": "x"}).status_code == 403
    comment = Comment.objects.get()
    assert as_user(cast.lee).post(url("comment_withdraw", comment.pk)).status_code == 403
    as_user(cast.ana).post(url("comment_withdraw", comment.pk))
    assert "How late?" not in as_user(cast.ana).get(url("turn", turn.pk)).content.decode()


def test_a_comment_that_is_refused_is_not_lost(as_user, cast, stage) -> None:
    turn = do(stage, cast.ana)
    answer = as_user(cast.rui).post(
        url("comment_new", turn.item.prompt_id), {"comment": "Typed \0 words", "next": "//evil"}
    )
    body = answer.content.decode()
    assert answer.status_code == 422 and "Typed" in body and "NUL" in body and "//evil" not in body


# The share


def test_the_share_is_set_on_the_stages_form(as_user, cast, stage) -> None:
    lee = as_user(cast.lee)
    page = lee.get(url("stage_edit", stage.pk)).content.decode()
    assert "Share that is reviewed" in page
    form = {"name": "Write", "overlap": 2, "everyone": "yes", "order": "arrival"}
    form |= {"lease_minutes": 60, "skips_to_close": 3}
    assert lee.post(url("stage_edit", stage.pk), form | {"review_share": 101}).status_code == 200
    assert lee.post(url("stage_edit", stage.pk), form | {"review_share": 30}).status_code == 302
    stage.refresh_from_db()
    assert stage.review_share == 30
    lee.post(url("stage_edit", stage.pk), form | {"review_share": ""})  # left empty: as it is
    stage.refresh_from_db()
    assert stage.review_share == 30
    assert "30 % reviewed" in lee.get(url("stage", stage.pk)).content.decode()
