"""The pages of importing, and the download of everything."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotation import importing
from annotation.importing import Answer, RankingIn, Record
from annotation.models import (
    GuidelineVersion,
    Import,
    Item,
    Prompt,
    Ranking,
    Response,
    Stage,
    Submission,
)
from annotation.reports import KEYS

HOSTILE = "<script>alert(1)</script>"
ROWS = [{"instruction": f"Say {n}.", "response": f"{n} {HOSTILE}"} for n in range(3)]


def upload(rows: list[Any], name: str = "rows.jsonl") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, "".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def send(lee, cast):
    """Upload as Lee; returns the import, or the page with the error."""

    def act(rows: list[Any], name: str = "rows.jsonl", **fields: Any):
        url = reverse("annotation:imports", args=[cast.project.pk])
        response = lee.post(url, {"file": upload(rows, name), **fields})
        if response.status_code == 302:
            return Import.objects.latest("pk")
        return response.content.decode()

    return act


def page(client, import_row: Import, name: str = "import") -> str:
    return client.get(reverse(f"annotation:{name}", args=[import_row.pk])).content.decode()


def act(client, import_row: Import, name: str, data: Any = None):
    return client.post(reverse(f"annotation:{name}", args=[import_row.pk]), data or {}, follow=True)


def finish(import_row: Import) -> Import:
    importing.run(import_row)
    import_row.refresh_from_db()
    return import_row


def test_the_list_and_who_may_see_it(check_roles, cast) -> None:
    check_roles(reverse("annotation:imports", args=[cast.project.pk]), at_least="lead")
    check_roles(reverse("annotation:export", args=[cast.project.pk]), at_least="lead")


@pytest.mark.parametrize("name", ["import", "import_progress", "import_report"])
def test_who_may_see_an_import(check_roles, cast, name: str) -> None:
    row = Import.objects.create(project=cast.project, state=Import.State.DONE)
    check_roles(reverse(f"annotation:{name}", args=[row.pk]), at_least="lead")


@pytest.mark.parametrize("name", ["import_change", "import_start", "import_cancel"])
def test_who_may_act_on_an_import_and_how(check_roles, lee, cast, name: str) -> None:
    row = Import.objects.create(project=cast.project)
    url = reverse(f"annotation:{name}", args=[row.pk])
    assert lee.get(url).status_code == 405
    check_roles(url, at_least="lead", method="post")


def test_from_upload_to_report(send, lee) -> None:
    import_row = send(ROWS, '<img src=x onerror="alert(1)">.jsonl')
    before = page(lee, import_row)
    assert "Import 3 rows" in before and "Say 0." in before
    assert "&lt;script&gt;alert(1)" in before and "<script>alert(1)" not in before
    assert "<img src=x" not in before
    assert not Prompt.objects.exists()

    waiting = act(lee, import_row, "import_start").content.decode()
    assert "Waiting for a worker" in waiting and "hx-trigger" in waiting
    import_row.refresh_from_db()
    assert import_row.state == Import.State.QUEUED
    assert "hx-get" in page(lee, import_row, "import_progress")

    finish(import_row)
    moved = lee.get(reverse("annotation:import_progress", args=[import_row.pk]))
    assert moved.headers["HX-Refresh"] == "true" and not moved.content
    done = page(lee, import_row)
    assert "3 prompts, 3 answers and 0 rankings" in done and "See the prompts" in done

    report = lee.get(reverse("annotation:import_report", args=[import_row.pk]))
    assert "attachment" in report.headers["Content-Disposition"]
    assert list(report.json()) == KEYS


def test_bad_rows_are_shown_and_skipped_only_when_asked(send, lee) -> None:
    import_row = send([*ROWS, {"instruction": "", "response": "x"}])
    shown = page(lee, import_row)
    assert "Import the 3 good rows" in shown and "the prompt is empty" in shown
    act(lee, import_row, "import_start")
    import_row.refresh_from_db()
    assert finish(import_row).state == Import.State.FAILED
    failed = page(lee, import_row)
    assert "Nothing was imported: 1 row is refused. First, line 4: the prompt is empty." in failed
    assert "What would have happened" in failed and not Prompt.objects.exists()
    act(lee, import_row, "import_start", {"skip_bad": "1"})
    import_row.refresh_from_db()
    assert finish(import_row).state == Import.State.DONE
    assert Prompt.objects.count() == 3


def test_a_file_that_is_none_keeps_nothing(send) -> None:
    body = send([], "empty.jsonl")
    assert "The submitted file is empty" in body
    form = send([[1]], "x.jsonl")
    assert isinstance(form, Import) and form.layout == ""


def test_an_archive_is_answered_beside_the_field(lee, cast) -> None:
    url = reverse("annotation:imports", args=[cast.project.pk])
    file = SimpleUploadedFile("x.zip", b"PK\x03\x04 and more")
    body = lee.post(url, {"file": file}).content.decode()
    assert "a zip archive" in body and "errorlist" in body
    assert not Import.objects.exists()


def test_columns_that_nobody_knows_are_mapped_on_the_page(send, lee) -> None:
    import_row = send([{"q": "Sky?", "a": "Blue.", "lang": "en"}])
    asked = page(lee, import_row)
    assert "No layout fits the columns “q”, “a”, “lang”" in asked
    assert '<option value="q">q</option>' in asked
    wrong = act(lee, import_row, "import_change", {"map_response": "a"})
    assert "Map the prompt to a column" in wrong.content.decode()
    right = {"map_prompt": "q", "map_response": "a", "map_metadata": "lang"}
    assert "Import 1 row" in act(lee, import_row, "import_change", right).content.decode()
    act(lee, import_row, "import_start")
    import_row.refresh_from_db()
    finish(import_row)
    assert Prompt.objects.get().metadata == {"lang": "en"}


def test_mapping_and_layout_at_the_upload(send, lee) -> None:
    mapped = send([{"q": "Sky?"}], map_prompt="q")
    assert mapped.mapping == {"prompt": "q"} and "Columns as mapped: prompt = q" in page(
        lee, mapped
    )
    assert send(ROWS, layout="dolly").layout == "dolly"


def test_cancelling(send, lee) -> None:
    import_row = send(ROWS)
    act(lee, import_row, "import_start")
    body = act(lee, import_row, "import_cancel").content.decode()
    assert "Nothing of the file was kept" in body
    import_row.refresh_from_db()
    assert import_row.state == Import.State.CANCELLED
    assert importing.run(import_row) == {} and not Prompt.objects.exists()
    assert "ended already" in act(lee, import_row, "import_cancel").content.decode()
    assert "started already" in act(lee, import_row, "import_start").content.decode()
    changed = act(lee, import_row, "import_change", {"layout": "dolly"}).content.decode()
    assert "cannot be changed any more" in changed


def test_conversations_and_rankings_in_the_preview(send, lee) -> None:
    turns = [{"role": "prompter", "text": "Sky?"}]
    candidates = [{"text": "red", "rank": 1}, {"text": "blue", "rank": 0}, {"text": "x", "rank": 1}]
    shown = page(lee, send([{"turns": turns, "candidates": candidates}]))
    assert "imported: 2 &gt; 1 = 3" in shown


def test_the_download_holds_everything_that_was_given(lee, cast) -> None:
    record = Record(
        messages=[{"role": "user", "content": "Sky?"}],
        external_id="p1",
        context="Look up.",
        metadata={"topic": "light"},
        answers=[Answer("Blue.", "m1"), Answer("Red.")],
        rankings=[RankingIn("r1", [[0], [1]])],
    )
    other = Record(messages=[{"role": "user", "content": "Sea?"}], external_id="p2")
    importing.add_records(project=cast.project, records=[record, other], source="test")
    stage = Stage.objects.create(project=cast.project, kind="write", name="Write")
    guidelines = GuidelineVersion.objects.create(project=cast.project, number=1, text="Be kind.")
    sea = Prompt.objects.get(external_id="p2")
    item = Item.objects.create(stage=stage, prompt=sea, position=1, needed=3)
    turn = Submission.objects.create(
        item=item, stage=stage, user=cast.ana, state="submitted", guidelines=guidelines
    )
    Submission.objects.create(item=item, stage=stage, user=cast.bea, state="draft")
    Response.objects.create(
        prompt=sea, text="Green.", origin="human", author=cast.ana, submission=turn, fingerprint="g"
    )
    hidden = Import.objects.create(project=cast.project, state=Import.State.RUNNING)
    Prompt.objects.create(
        project=cast.project, external_id="p3", fingerprint="h", root_key="r", batch=hidden
    )

    response = lee.get(reverse("annotation:export", args=[cast.project.pk]))
    assert "support-desk-annotations.jsonl" in response.headers["Content-Disposition"]
    first, second = (json.loads(line) for line in b"".join(response.streaming_content).splitlines())
    assert (first["external_id"], first["context"]) == ("p1", "Look up.")
    assert first["metadata"] == {"topic": "light"}
    blue, red = first["responses"]
    assert (blue["text"], blue["author_name"], blue["origin"]) == ("Blue.", "m1", "imported")
    [ranked] = first["submissions"]
    assert (ranked["annotator"], ranked["annotator_name"]) == (None, "r1")
    assert ranked["ranking"]["order"] == [[blue["id"]], [red["id"]]]
    assert ranked["shown"] == [blue["id"], red["id"]]
    [written] = second["submissions"]
    assert (written["annotator"], written["stage"]) == ("ana@example.org", "Write")
    assert written["guidelines"] == 1
    [green] = second["responses"]
    assert (green["author"], green["submission"]) == ("ana@example.org", written["id"])
    assert Ranking.objects.count() == 1


def test_the_download_goes_on_past_one_range(lee, cast, monkeypatch) -> None:
    monkeypatch.setattr("annotation.annotation_export.RANGE", 2)
    records = [Record(messages=[{"role": "user", "content": f"q{n}"}]) for n in range(5)]
    importing.add_records(project=cast.project, records=records, source="test")
    response = lee.get(reverse("annotation:export", args=[cast.project.pk]))
    lines = b"".join(response.streaming_content).splitlines()
    assert [json.loads(line)["messages"][0]["content"] for line in lines] == [
        f"q{n}" for n in range(5)
    ]
