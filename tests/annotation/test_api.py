"""Annotation for programs. Who may is asked of each URL in tests/test_every_view.py."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from annotation import importing, queue, submissions
from annotation.models import ApiToken, ColumnMapping, Import, Project, Prompt
from tests.annotation.factories import make_prompt, make_stage


@pytest.fixture
def api(client, cast):
    """`api(cast.lee).post("api-prompts", 1, {...})`: with a token of that person."""

    class Caller:
        def __init__(self, user):
            self.headers = {"Authorization": f"Bearer {ApiToken.issue(user, 'test')[1]}"}

        def get(self, name, *args, **query):
            return client.get(reverse(name, args=args), query, headers=self.headers)

        def post(self, name, *args, data, **rest):
            url = reverse(name, args=args)
            kind = rest or {"content_type": "application/json"}
            return client.post(url, data, headers=self.headers, **kind)

        def send(self, name, *args, **form):
            return client.post(reverse(name, args=args), form, headers=self.headers)

    return Caller


def user(text):
    return [{"role": "user", "content": text}]


def upsert(caller, project, *rows, **rest):
    return caller.post("api-prompts", project.pk, data={"prompts": list(rows), **rest})


# The door ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Bearer ant_guess", "Bearer ", "Bearer ä"])
def test_a_bad_token_opens_nothing(client, cast, header):
    response = client.get(reverse("api-projects"), headers={"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_the_token_of_a_deactivated_account_opens_nothing(api, cast):
    caller = api(cast.lee)
    cast.lee.is_active = False
    cast.lee.save()
    assert caller.get("api-projects").status_code == 401


def test_a_session_without_its_csrf_token_writes_nothing(cast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.lee)
    url = reverse("api-prompts", args=[cast.project.pk])
    body = json.dumps({"prompts": [{"messages": user("x")}]})
    assert client.post(url, body, content_type="application/json").status_code == 403
    assert not Prompt.objects.exists()


# Projects and stages ----------------------------------------------------------------------------


def test_projects_are_those_of_my_workspaces(api, cast):
    Project.objects.create(workspace=cast.other, name="Secret", slug="secret")
    names = [row["name"] for row in api(cast.ana).get("api-projects").json()["results"]]
    assert names == ["Support desk"]
    one = api(cast.ana).get("api-project", cast.project.pk).json()
    assert (one["workspace"], one["slug"]) == ("acme", "support-desk")


def test_a_project_is_made_by_the_same_rules(api, cast):
    caller = api(cast.lee)
    data = {"workspace": "acme", "name": "Tutor", "slug": "tutor", "guidelines": "Be kind."}
    made = caller.post("api-projects", data=data)
    assert made.status_code == 201
    assert Project.objects.get(pk=made.json()["id"]).guidelines.text == "Be kind."
    again = caller.post("api-projects", data=data)
    assert (again.status_code, "tutor" in again.json()["detail"]) == (400, True)
    assert caller.post("api-projects", data={"workspace": "other", "name": "X"}).status_code == 404


def test_stages(api, cast):
    stage = make_stage(cast.project, "rank", overlap=3)
    rows = api(cast.ana).get("api-stages", cast.project.pk).json()["results"]
    assert [(row["id"], row["kind"], row["overlap"]) for row in rows] == [(stage.pk, "rank", 3)]


# Prompts ----------------------------------------------------------------------------------------


def test_bulk_upsert_reports_each_row(api, cast):
    caller = api(cast.lee)
    one = {"external_id": "one", "messages": user("Why?"), "answers": [{"text": "Because."}]}
    two = {"external_id": "two", "messages": user("How?"), "metadata": {"topic": "x"}}
    report = upsert(caller, cast.project, one, two).json()
    assert (report["rows"], report["imported"], report["responses"]) == (2, 2, 1)
    more = one | {"answers": [{"text": "Because."}, {"text": "It is.", "author_name": "sft"}]}
    report = upsert(caller, cast.project, more, two, {"messages": user("Where?")}).json()
    assert (report["imported"], report["updated"], report["unchanged"]) == (1, 1, 1)
    assert report["rows"] == report["imported"] + report["updated"] + report["unchanged"]
    found = caller.get("api-prompts", cast.project.pk, external_id="one").json()["results"]
    full = caller.get("api-prompt", found[0]["id"]).json()
    assert [answer["text"] for answer in full["responses"]] == ["Because.", "It is."]


def test_a_ranking_comes_with_its_answers(api, cast):
    row = {
        "messages": user("Why?"),
        "answers": [{"text": "A"}, {"text": "B"}, {"text": "C"}],
        "rankings": [{"rater": "kim", "order": [[1], [0, 2]]}],
    }
    report = upsert(api(cast.lee), cast.project, row).json()
    assert (report["responses"], report["rankings"]) == (3, 1)
    found = api(cast.rui).get("api-submissions", cast.project.pk).json()["results"]
    texts = {answer.pk: answer.text for answer in Prompt.objects.get().responses.all()}
    ranking = found[0]["ranking"]["order"]
    assert (found[0]["annotator"], found[0]["origin"]) == ("kim", "import")
    assert [sorted(texts[pk] for pk in group) for group in ranking] == [["B"], ["A", "C"]]


BAD = [
    ({"messages": "x"}, "messages"),
    ({"messages": [{"content": "x"}]}, "role"),
    ({"messages": user("x"), "answers": [{"text": "y"}, {}]}, "answers, 2, text"),
    ({"messages": user("x"), "metadata": [1]}, "metadata"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "wizard"),
    ({"messages": user("x"), "rankings": [{"rater": "k", "order": [[0], [5]]}]}, "ranking"),
    ("no object", "dictionary"),
]


@pytest.mark.parametrize(("row", "words"), BAD)
def test_a_bad_row_is_named_and_nothing_is_taken(api, cast, row, words):
    good = {"messages": user("Good?")}
    response = upsert(api(cast.lee), cast.project, good, row)
    assert response.status_code == 400
    assert [entry["line"] for entry in response.json()["refused"]] == [2]
    assert words in response.json()["refused"][0]["reason"]
    assert not Prompt.objects.exists()


def test_skip_bad_takes_the_good_rows_and_names_the_others(api, cast):
    good = [{"external_id": f"g{n}", "messages": user(f"Good {n}?")} for n in range(3)]
    rows = [good[0], BAD[0][0], good[1], BAD[4][0], good[2]]
    report = upsert(api(cast.lee), cast.project, *rows, skip_bad=True).json()
    assert [entry["line"] for entry in report["refused"]] == [2, 4]
    assert (report["rows"], report["imported"]) == (5, 3)
    assert Prompt.objects.count() == 3


def test_a_prompt_that_was_worked_on_is_refused_by_name(api, cast):
    prompt = make_prompt(cast.project, "Why?", external_id="sky")
    queue.claim(make_stage(cast.project), cast.ana)
    row = {"external_id": "sky", "messages": user("Why not?")}
    response = upsert(api(cast.lee), cast.project, row)
    assert response.status_code == 400
    assert "sky" in response.json()["detail"]
    prompt.refresh_from_db()
    assert prompt.question == "Why?"


@pytest.mark.parametrize("body", [{}, {"prompts": []}, {"prompts": {}}, [], {"prompts": None}])
def test_an_upsert_without_rows_is_refused(api, cast, body):
    response = api(cast.lee).post("api-prompts", cast.project.pk, data=body)
    assert response.status_code == 400


def test_too_many_rows_and_too_much_text_are_refused(api, cast, settings):
    response = upsert(api(cast.lee), cast.project, *[{}] * 10_001)
    assert "10,000 at a time" in response.content.decode()
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    response = upsert(api(cast.lee), cast.project, {"messages": user("x" * 2_000)})
    assert response.status_code == 413


def test_while_an_import_runs_the_program_is_told_to_come_again(api, cast, monkeypatch):
    monkeypatch.setattr("annotation.bulk_upsert.PATIENCE", 0)
    Import.objects.create(project=cast.project, state="running")
    response = upsert(api(cast.lee), cast.project, {"messages": user("x")})
    assert response.status_code == 409


def test_prompts_are_read_by_keyset_and_retired_ones_on_demand(api, cast):
    for number in range(5):
        make_prompt(cast.project, f"Q{number}", external_id=f"p{number}")
    Prompt.objects.filter(external_id="p0").update(retired="2026-01-01T00:00Z")
    caller = api(cast.rui)
    page = caller.get("api-prompts", cast.project.pk, size=2).json()
    assert [row["external_id"] for row in page["results"]] == ["p1", "p2"]
    cursor = page["next"].partition("after=")[2].partition("&")[0].replace("%3D", "=")
    page = caller.get("api-prompts", cast.project.pk, size=2, after=cursor).json()
    assert [row["external_id"] for row in page["results"]] == ["p3", "p4"]
    all_of_them = caller.get("api-prompts", cast.project.pk, retired="true").json()["results"]
    assert len(all_of_them) == 5


def test_a_prompt_of_an_unfinished_import_is_not_there(api, cast):
    batch = Import.objects.create(project=cast.project, state="running")
    prompt = make_prompt(cast.project, batch=batch)
    assert api(cast.lee).get("api-prompt", prompt.pk).status_code == 404
    assert api(cast.lee).get("api-prompts", cast.project.pk).json()["results"] == []


# Submissions ------------------------------------------------------------------------------------


def test_submissions_say_who_did_what(api, cast, django_assert_max_num_queries):
    stage = make_stage(cast.project)
    for number in range(3):
        make_prompt(cast.project, f"Q{number}")
        submission = queue.claim(stage, cast.ana)
        submissions.submit(
            submission=submission,
            user=cast.ana,
            content={"text": f"A{number}"},
            version=submission.version,
        )
    queue.claim(make_stage(cast.project), cast.bea)
    caller = api(cast.rui)
    with django_assert_max_num_queries(10):
        rows = caller.get("api-submissions", cast.project.pk, stage=stage.pk).json()["results"]
    assert [row["responses"][0]["text"] for row in rows] == ["A0", "A1", "A2"]
    assert {(row["annotator"], row["state"]) for row in rows} == {("ana@example.org", "submitted")}
    claimed = caller.get("api-submissions", cast.project.pk, state="claimed").json()["results"]
    assert [row["annotator"] for row in claimed] == ["bea@example.org"]
    one = caller.get("api-submission", rows[0]["id"]).json()
    assert one["ranking"] is None and one["prompt"] == rows[0]["prompt"]


# Imports ----------------------------------------------------------------------------------------


def a_file(*rows, name="rows.jsonl"):
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return SimpleUploadedFile(name, text.encode())


ROW = {"instruction": "Why?", "input": "", "output": "Because."}


def test_a_file_is_looked_at_started_and_cancelled(api, cast):
    caller = api(cast.lee)
    sent = caller.send("api-imports", cast.project.pk, file=a_file(ROW, "{"), start="false")
    assert sent.status_code == 201
    assert (sent.json()["state"], sent.json()["preview"]["rows"]) == ("previewed", 2)
    assert [entry["line"] for entry in sent.json()["preview"]["refused"]] == [2]
    pk = sent.json()["id"]
    started = caller.post("api-import-start", pk, data={})
    assert (started.status_code, started.json()["state"]) == (200, "queued")
    assert caller.post("api-import-start", pk, data={}).status_code == 400
    assert caller.post("api-import-cancel", pk, data={}).json()["state"] == "cancelled"
    assert caller.post("api-import-cancel", pk, data={}).status_code == 400
    assert not Prompt.objects.exists()


def test_a_file_comes_in(api, cast):
    sent = api(cast.lee).send(
        "api-imports", cast.project.pk, file=a_file(ROW, "{"), skip_bad="true"
    )
    assert (sent.status_code, sent.json()["state"]) == (201, "queued")
    importing.run(Import.objects.get())
    found = api(cast.lee).get("api-import", sent.json()["id"]).json()
    assert (found["state"], found["report"]["imported"]) == ("done", 1)
    assert found["report"]["refused"][0]["line"] == 2


def test_a_mapping(api, cast):
    sent = api(cast.lee).send(
        "api-imports",
        cast.project.pk,
        file=a_file({"q": "Why?", "a": "Because."}),
        mapping='{"prompt": "q", "response": "a"}',
        start="false",
    )
    assert sent.status_code == 201, sent.content
    assert sent.json()["preview"]["refused"] == []


def test_a_table_without_a_header(api, cast):
    form = {
        "file": SimpleUploadedFile("faq.csv", b"Why?,Because.\nHow?,So.\n"),
        "no_header": "true",
        "start": "false",
    }
    form["mapping"] = '{"prompt": "column 1"}'
    answer = api(cast.lee).send("api-imports", cast.project.pk, **form).json()
    assert answer["no_header"] is True
    assert answer["preview"]["rows"] == 2 and answer["preview"]["columns"] == [
        "column 1",
        "column 2",
    ]


def test_a_mapping_by_its_name_and_where_the_rows_are_from(api, cast):
    mapping = {"prompt": "q", "response": "a"}
    ColumnMapping.objects.create(workspace=cast.acme, name="FAQ", mapping=mapping)
    sent = api(cast.lee).send(
        "api-imports",
        cast.project.pk,
        file=a_file({"q": "Why?", "a": "Because."}),
        mapping_name="FAQ",
        licence="cc0-1.0",
        homepage="https://example.org/",
        start="false",
    )
    assert sent.status_code == 201, sent.content
    found = sent.json()
    assert (found["mapping"], found["licence"]) == (mapping, "cc0-1.0")
    assert (found["homepage"], found["bytes_done"]) == ("https://example.org/", 0)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"file": a_file("PK\x03\x04 an archive")},
        {"file": a_file({"strange": 1})},
        {"file": a_file(ROW), "layout": "none such"},
        {"file": a_file(ROW), "mapping": "{"},
        {"file": a_file(ROW), "mapping": '{"prompt": 3}'},
        {"file": a_file(ROW), "mapping_name": "none such"},
        {"file": a_file(ROW), "homepage": "javascript:alert(1)"},
    ],
)
def test_what_cannot_be_imported_leaves_nothing(api, cast, form):
    response = api(cast.lee).send("api-imports", cast.project.pk, **form)
    assert response.status_code == 400
    assert not Import.objects.exclude(state="cancelled").exists()


# The document -----------------------------------------------------------------------------------


def test_the_openapi_document_is_made_without_a_warning(tmp_path):
    path = tmp_path / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    assert "/api/projects/{id}/prompts/" in path.read_text()


def test_the_document_and_its_page_are_served(client, db):
    assert client.get(reverse("schema")).status_code == 200
    page = client.get(reverse("api-docs"))
    assert page.status_code == 200
    assert "cdn" not in page.content.decode()
