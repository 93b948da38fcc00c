"""The list's filters, alone and together; that a page waits for none; what the databases do."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import label_words, prompt_list, prompt_walk, prompts, queue, submissions
from annotation.models import Action, Item, Prompt, Stage, Submission
from annotation.prompt_filters import Filters, matching, small_sets
from tests.annotation.factories import make_prompt, make_stage
from tests.annotation.test_search import explain


def submit(stage, user, text="An answer.", **more):
    submission = queue.claim(stage, user)
    submissions.submit(
        submission=submission, user=user, content={"text": text}, version=submission.version
    )
    return submission.item.prompt


def shown(project, **given) -> list[str]:
    """What the list shows, all its parts together."""
    filters, after, rows = Filters.read({k: str(v) for k, v in given.items()}), "", []
    while True:
        page = prompt_list.page(project=project, filters=filters, after=after, before="")
        rows += [row.external_id for row in page.rows]
        after = page.reached or page.after
        if not after:
            return rows


@pytest.fixture
def stage(cast):
    for n in range(8):
        make_prompt(
            cast.project,
            f"Question {n}",
            external_id=f"p{n}",
            metadata={"topic": "law" if n % 2 else "tax", "n": n, "ok": n == 3, "tags": ["a", n]},
        )
    return make_stage(cast.project, overlap=1)


def test_the_state_of_the_work(cast, stage):
    submit(stage, cast.ana)  # p0: done
    queue.claim(stage, cast.ana)  # p1: in hand
    submit(stage, cast.bea)  # p2: done, and on its way to a reviewer
    Submission.objects.filter(item__prompt__external_id="p2").update(review="waiting")
    items = Item.objects.filter(stage=stage)
    items.filter(prompt__external_id="p4").update(flagged=True)
    items.filter(prompt__external_id="p5").update(lane=Item.GOLD_LANE)
    submit(stage, cast.bea)  # p3: came back with a comment
    Submission.objects.filter(item__prompt__external_id="p3").update(
        review="returned", state="draft"
    )
    items.filter(prompt__external_id="p3").update(done=0)
    expected = {
        "done": ["p0", "p2"],
        "in_hand": ["p1", "p3"],
        "returned": ["p3"],
        "waiting": ["p2"],
        "flagged": ["p4"],
        "gold": ["p5"],
        "open": ["p4", "p6", "p7"],
        "untouched": ["p4", "p5", "p6", "p7"],
    }
    for state, names in expected.items():
        assert shown(cast.project, stage=stage.pk, state=state) == names, state
        assert shown(cast.project, state=state) == names, state
    assert shown(cast.project, stage=stage.pk + 1, state="done") == []
    assert shown(cast.project, annotator=cast.ana.pk) == ["p0"]
    assert shown(cast.project, annotator=cast.ana.pk, state="in_hand") == ["p1"]
    assert shown(cast.project, annotator=cast.bea.pk, stage=stage.pk) == ["p2"]
    assert shown(cast.project, annotator=cast.bea.pk, stage=stage.pk, state="waiting") == ["p2"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("topic=law", ["p1", "p3", "p5", "p7"]),
        ("topic = law ", ["p1", "p3", "p5", "p7"]),
        ("n=3", ["p3"]),
        ("ok=true", ["p3"]),
        ("tags=5", ["p5"]),
        ("tags=a", [f"p{n}" for n in range(8)]),
        ("topic", [f"p{n}" for n in range(8)]),
        ("topic=", []),
        ("unknown=1", []),
        ('to"pic=law', []),
        ("ok=1", []),
        ("a.b[0]=1", []),
    ],
)
def test_metadata(cast, stage, typed, names):
    assert shown(cast.project, metadata=typed) == names


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("tone=warm", ["p0"]),
        ("score=4", ["p1"]),
        ("kinds=b", ["p2"]),
        ("each=5", ["p3"]),
        ("tone=cold", []),
        ("tone", []),
        ('to"ne=warm', []),
    ],
)
def test_labels(cast, stage, typed, names):
    answers = [{"tone": "warm"}, {"score": 4}, {"kinds": ["a", "b"]}, {"each": {"7": 5, "8": 1}}]
    for ratings in answers:
        prompt = submit(stage, cast.ana)
        Submission.objects.filter(item__prompt=prompt).update(ratings=ratings)
    assert shown(cast.project, label=typed) == names
    assert shown(cast.project, label=typed, stage=stage.pk, annotator=cast.ana.pk) == names
    assert shown(cast.project, label=typed, annotator=cast.bea.pk) == []


def test_disagreement_narrows_and_orders(cast, stage, monkeypatch):
    monkeypatch.setattr(prompt_list, "SIZE", 2)
    queue.fill(stage)
    for n, value in enumerate([0, 40, 100, 40, None, 70, 40, 10]):
        Item.objects.filter(prompt__external_id=f"p{n}").update(disagreement=value)
    assert shown(cast.project, stage=stage.pk, disagreement=40) == ["p1", "p2", "p3", "p5", "p6"]
    assert shown(cast.project, disagreement=70) == ["p2", "p5"]
    ordered = ["p2", "p5", "p6", "p3", "p1", "p7"]
    assert shown(cast.project, stage=stage.pk, order="disagreement") == ordered
    assert shown(cast.project, stage=stage.pk, order="disagreement", disagreement=40) == ordered[:5]
    assert shown(cast.project, stage=stage.pk, order="disagreement", q='"question" 3') == ["p3"]
    filters = Filters.read({"stage": str(stage.pk), "order": "disagreement"})
    second = prompt_list.page(
        project=cast.project, filters=filters, after="70-" + str(pk("p5")), before=""
    )
    assert [row.external_id for row in second.rows] == ["p6", "p3"]
    assert [row.disagreement for row in second.rows] == [40, 40]
    first = prompt_list.page(
        project=cast.project, filters=filters, after="", before=second.before or ""
    )
    assert [row.external_id for row in first.rows] == ["p2", "p5"] and first.before is None


def pk(name: str) -> int:
    return Prompt.objects.get(external_id=name).pk


def test_all_together(cast, stage):
    for _ in range(4):
        submit(stage, cast.ana)
    Item.objects.update(disagreement=50)
    Submission.objects.update(ratings={"tone": "warm"})
    prompts.retire(prompt=Prompt.objects.get(external_id="p1"))
    everything = {"q": "question", "stage": stage.pk, "state": "done", "label": "tone=warm"}
    everything |= {"annotator": cast.ana.pk, "metadata": "topic=law", "disagreement": 50}
    assert shown(cast.project, **everything) == ["p3"]
    assert shown(cast.project, **everything, show="retired") == ["p1"]
    assert shown(cast.project, **everything, order="disagreement") == ["p3"]
    assert shown(cast.project, **everything | {"q": "3"}) == ["p3"]
    assert shown(cast.project, **everything | {"q": "4"}) == []


@pytest.mark.parametrize("given", [{"metadata": "n=6"}, {"q": "6"}, {"q": "東"}, {}])
@pytest.mark.parametrize("few", [0, 5000])
def test_windows_miss_nothing_however_small(cast, stage, monkeypatch, given, few):
    """Each request looks at two prompts: the parts together show what one would."""
    whole = shown(cast.project, **given)
    monkeypatch.setattr(prompt_walk, "FIRST", 2)
    monkeypatch.setattr(prompt_walk, "WIDEST", 2)
    monkeypatch.setattr(prompt_walk, "FEW", few)
    monkeypatch.setattr(prompt_walk.search, "MOST_READ_WHOLE", few - 1)
    monkeypatch.setattr(prompt_list, "SECONDS", -1)
    assert shown(cast.project, **given) == whole


def test_a_page_goes_on_by_itself(as_user, cast, stage, monkeypatch):
    prompts.retire(prompt=Prompt.objects.get(external_id="p6"))
    monkeypatch.setattr(prompt_walk, "FIRST", 2)
    monkeypatch.setattr(prompt_list, "SECONDS", -1)
    client, url = as_user(cast.lee), reverse("annotation:prompts", args=[cast.project.pk])
    page = client.get(url, {"show": "retired"})
    html = page.content.decode()
    assert 'hx-trigger="load"' in html and "0 found; " in html and "Go on" in html
    parts, reached = 0, page.context["page"].reached
    while reached:
        query = {"show": "retired", "after": reached, "part": 0}
        page = client.get(url, query, headers={"HX-Request": "true"})
        reached, parts = page.context["page"].reached, parts + 1
        if rows := page.context["page"].rows:
            assert [row.external_id for row in rows] == ["p6"]
            assert 'hx-swap-oob="beforeend:#found"' in page.content.decode()
    assert parts >= 3 and 'id="pages"' in page.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"stage": "x", "state": "y", "annotator": "-1", "disagreement": "1e3"},
        {"stage": "99999999999999999999", "after": "1-2-3", "order": "disagreement"},
        {"metadata": "=", "label": "="},
        {"q": "\0", "before": "9" * 30},
        {"q": '"', "metadata": '"=\\'},
        {"q": "a" * 3000, "label": "\u2028=\u0007"},
        {"part": "7", "edge": "<b>", "after": "5"},
        {"order": "disagreement", "stage": "1", "after": "5"},
    ],
)
def test_any_address_gives_a_page(as_user, cast, stage, query):
    url = reverse("annotation:prompts", args=[cast.project.pk])
    page = as_user(cast.lee).get(url, query)
    assert page.status_code == 200 and "edge=<b>" not in page.content.decode()


def test_an_act_on_all_that_match_is_undone(as_user, cast, stage):
    client = as_user(cast.lee)
    url = reverse("annotation:prompts_act", args=[cast.project.pk])
    query = "metadata=topic%3Dlaw"
    page = client.post(url, {"where": query, "act": "retire", "all": "1"}, follow=True)
    assert "4 prompts retired" in page.content.decode() and "Undo" in page.content.decode()
    assert shown(cast.project) == ["p0", "p2", "p4", "p6"]
    action = Action.objects.get()
    listed = client.get(reverse("annotation:project_actions", args=[cast.project.pk]))
    assert "4 prompts retired" in listed.content.decode()
    undo = reverse("annotation:action_undo", args=[action.pk])
    page = client.post(undo, {"where": query}, follow=True).content.decode()
    assert "Undone: 4 prompts retired" in page
    assert len(shown(cast.project)) == 8
    assert "undone already" in client.post(undo, follow=True).content.decode()


def test_items_are_given_to_people_from_the_list(as_user, cast, stage):
    client = as_user(cast.lee)
    url = reverse("annotation:prompts_act", args=[cast.project.pk])
    sent = {"act": "assign", "prompt": [pk("p6")], "people": [cast.bea.pk], "stage": stage.pk}
    client.post(url, sent)
    assert Item.objects.get(prompt__external_id="p6").people == [cast.bea.pk]
    stranger = {**sent, "people": [cast.otto.pk]}
    assert "Choose the people" in client.post(url, stranger, follow=True).content.decode()
    client.post(url, {"act": "assign", "prompt": [pk("p6")], "everybody": "1", "stage": stage.pk})
    assert Item.objects.get(prompt__external_id="p6").people == []


FILTERS = [
    {},
    {"show": "answered"},
    {"show": "retired"},
    {"stage": 1, "state": "open"},
    {"stage": 1, "state": "done"},
    {"stage": 1, "state": "flagged"},
    {"stage": 1, "state": "gold"},
    {"stage": 1, "state": "in_hand"},
    {"stage": 1, "state": "waiting"},
    {"stage": 1, "state": "untouched"},
    {"state": "untouched"},
    {"annotator": 1},
    {"stage": 1, "annotator": 1, "label": "tone=warm"},
    {"stage": 1, "disagreement": 50},
    {"metadata": "topic=law"},
    {"stage": 1, "order": "disagreement"},
]


@pytest.mark.parametrize("given", FILTERS, ids=str)
def test_no_plan_reads_a_table_through(cast, stage, given):
    """A window is a range of prompts, and what each must be is asked by an index."""
    if "stage" in given:
        given = {**given, "stage": stage.pk}
    if "annotator" in given:
        given = {**given, "annotator": cast.ana.pk}
    filters = Filters.read({key: str(value) for key, value in given.items()})
    with CaptureQueriesContext(connection) as seen:
        prompt_list.page(project=cast.project, filters=filters, after="3", before="")
    looks = [row["sql"] for row in seen if row["sql"].startswith("SELECT")]
    assert looks
    rows = matching(cast.project, filters).filter(pk__gt=3, pk__lte=900).values_list("pk")
    looks.append(str_sql(rows))
    # Those of the partial indexes are asked for by a statement of their own, seen above.
    sets = [] if given.get("state") in ("in_hand", "waiting") else small_sets(filters, 9)
    looks += [str_sql(each.order_by().values_list("pk")[9:10]) for each, _ in sets]
    plans = [explain(*plan_of(sql)) for sql in looks]
    for line in "\n".join(plans).splitlines():
        if "SCAN" in line:  # the few imports are read whole, and what is no table
            small = ("import_state", "annotation_import", "json_tree", "CONSTANT ROW")
            assert any(word in line for word in small), line
        assert "Seq Scan on annotation_import" in line or "Seq Scan" not in line, line
    if connection.vendor == "sqlite" and (index := INDEXES.get(str(given.get("state")))):
        assert index in "\n".join(plans)
    if connection.vendor == "sqlite" and ("order" in given or "disagreement" in given):
        assert "COVERING INDEX item_disagreement" in "\n".join(plans)
        assert "TEMP B-TREE" not in "\n".join(plans)


INDEXES = {
    "flagged": "item_on_list",
    "in_hand": "submission_expiring",
    "waiting": "submission_to_review",
}


def str_sql(rows) -> tuple:
    return rows.query.sql_with_params()


def plan_of(sql) -> tuple[str, list]:
    text, values = sql if isinstance(sql, tuple) else (sql.replace("%", "%%"), [])
    word = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    return f"{word} {text}", list(values)


def test_a_label_may_be_typed_as_people_read_it(as_user, cast) -> None:
    """By the question's title and the answer's words; what is offered are the short names."""
    rubric = [
        {"key": "tone", "title": "Tone of voice", "type": "label", "about": "prompt"}
        | {"required": True, "help": "", "options": [{"value": "warm", "label": "Warm, kind"}]},
        {"key": "note", "title": "Note", "type": "text", "about": "prompt"}
        | {"required": False, "help": ""},
    ]
    Stage.objects.filter(pk=make_stage(cast.project, "rate").pk).update(rubric=rubric)
    assert label_words.offered(cast.project) == ["tone=warm"]
    for typed in ("tone of voice = warm, KIND", "tone=warm", "Tone of voice=warm"):
        assert label_words.meant(cast.project, typed) == "tone=warm"
    for typed in ("tone=cold", "note=x", "tone", "="):
        assert label_words.meant(cast.project, typed) == typed
    make_prompt(cast.project)
    address = reverse("annotation:prompts", args=[cast.project.pk])
    page = as_user(cast.lee).get(address, {"label": "Tone of voice=Warm, kind"}).content.decode()
    assert "Without “tone=warm”" in page and '<option value="tone=warm">' in page
