"""The pages of importing, and the download of everything."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from annotation import importing
from annotation.importing import Answer, RankingIn, Record
from annotation.models import (
    ColumnMapping,
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


@pytest.mark.parametrize("name", ["import", "import_progress", "import_report", "import_refusals"])
def test_who_may_see_an_import(check_roles, cast, name: str) -> None:
    row = Import.objects.create(project=cast.project, state=Import.State.DONE)
    check_roles(reverse(f"annotation:{name}", args=[row.pk]), at_least="lead")


@pytest.mark.parametrize(
    "name",
    [
        "import_change",
        "import_start",
        "import_cancel",
        "import_about",
        "import_fetch",
        "import_header",
        "mapping_keep",
    ],
)
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
    assert "Import the 1 good row<" in page(lee, send([ROWS[0], {"instruction": ""}]))
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


FAQ = [{"Q": "Sky?", "Best": "**Blue.**", "Other": "Red.", "Lang": "en", "Ref": "r1"}]
CHOSEN = {"use_0": "prompt", "use_1": "response", "use_2": "response", "use_3": "metadata"}


def test_columns_that_nobody_knows_are_mapped_on_the_page(send, lee) -> None:
    import_row = send([{"was": "Sky?", "is": "Blue.", "lang": "en"}])
    asked = page(lee, import_row)
    assert "No layout fits the columns “was”, “is”, “lang”" in asked
    assert '<option value="external_id">Id</option>' in asked and "<span>Blue.</span>" in asked
    columns = {"by_columns": "1"}
    wrong = act(lee, import_row, "import_change", {**columns, "use_1": "response"})
    assert "Map the prompt to a column" in wrong.content.decode()
    assert '<option value="response" selected>' in wrong.content.decode()
    right = {**columns, "use_0": "prompt", "use_1": "response", "use_2": "metadata"}
    assert "Import 1 row" in act(lee, import_row, "import_change", right).content.decode()
    act(lee, import_row, "import_start")
    import_row.refresh_from_db()
    finish(import_row)
    assert Prompt.objects.get().metadata == {"lang": "en"}


def test_the_preview_follows_each_choice(send, lee) -> None:
    import_row = send(FAQ)
    url = reverse("annotation:import_change", args=[import_row.pk])
    sent = {**CHOSEN, "by_columns": "1"}
    live = lee.post(url, sent, headers={"HX-Request": "true"}).content.decode()
    assert "<strong>Blue.</strong>" in live and "Red." in live and "lang: en" in live.lower()
    assert "Import 1 row" in live and 'id="start" hx-swap-oob="true"' in live
    assert "columns as mapped (prompt, response, metadata) · </span>" in live
    assert "<html" not in live and "by-columns" not in live
    import_row.refresh_from_db()
    assert import_row.mapping == {
        "prompt": "Q",
        "response.Best": "Best",
        "response.Other": "Other",
        "metadata.Lang": "Lang",
    }
    twice = lee.post(url, {**sent, "use_3": "prompt"}, headers={"HX-Request": "true"})
    assert "“Q” and “Lang” cannot both be the prompt" in twice.content.decode()
    assert "disabled>Import" in twice.content.decode()
    by_layout = lee.post(url, {"layout": "instruction"}, headers={"HX-Request": "true"})
    assert "by-columns" in by_layout.content.decode()
    assert "<b>1</b><small>refused row</small>" in by_layout.content.decode()


def test_several_answers_carry_the_names_of_their_columns(send, lee) -> None:
    import_row = send(FAQ)
    act(lee, import_row, "import_change", {**CHOSEN, "by_columns": "1", "use_4": "external_id"})
    act(lee, import_row, "import_start")
    import_row.refresh_from_db()
    assert finish(import_row).state == Import.State.DONE
    prompt = Prompt.objects.get()
    assert (prompt.external_id, prompt.metadata) == ("r1", {"Lang": "en"})
    answers = Response.objects.order_by("pk").values_list("author_name", "text")
    assert list(answers) == [("Best", "**Blue.**"), ("Other", "Red.")]


def test_a_mapping_is_saved_offered_overwritten_and_deleted(send, lee, cast) -> None:
    import_row = send(FAQ)
    everything = {**CHOSEN, "use_4": "external_id"}
    unnamed = act(lee, import_row, "mapping_keep", {**everything, "mapping_name": ""})
    assert "This field is required" in unnamed.content.decode()
    act(lee, import_row, "mapping_keep", {**everything, "mapping_name": " The  desk "})
    saved = ColumnMapping.objects.get()
    assert (saved.name, saved.workspace, saved.created_by) == ("The desk", cast.acme, cast.lee)
    again = send(FAQ)
    assert again.mapping == saved.mapping
    body = page(lee, again)
    assert "Read by the saved mapping “The desk”" in body
    assert f'<option value="saved:{saved.pk}" selected>The desk</option>' in body
    act(lee, again, "mapping_keep", {**CHOSEN, "mapping_name": "The desk"})
    saved.refresh_from_db()
    assert "external_id" not in saved.mapping and ColumnMapping.objects.count() == 1
    assert send([{"was": "Sky?"}]).mapping == {}
    chosen = act(lee, send(FAQ), "import_change", {"layout": f"saved:{saved.pk}"})
    assert "Import 1 row" in chosen.content.decode()
    lee.post(reverse("annotation:mapping_remove", args=[saved.pk]), {"import": again.pk})
    assert not ColumnMapping.objects.exists()
    again.refresh_from_db()
    assert again.mapping["prompt"] == "Q"


def test_a_saved_mapping_of_another_workspace_is_none(send, lee, cast) -> None:
    other = ColumnMapping.objects.create(
        workspace=cast.other, name="Theirs", mapping={"prompt": "Q"}
    )
    import_row = send(FAQ)
    body = act(lee, import_row, "import_change", {"layout": f"saved:{other.pk}"}).content.decode()
    assert "no such saved mapping" in body and "Theirs" not in body


def test_licence_and_homepage_are_asked_kept_and_shown(send, lee, cast) -> None:
    import_row = send(ROWS)
    assert '<option value="cc-by-4.0">' in page(lee, import_row)
    for bad in ("javascript:alert(1)", "example.org", "https://", "http://[x"):
        body = act(lee, import_row, "import_start", {"homepage": bad}).content.decode()
        assert "begins with https://" in body, bad
    import_row.refresh_from_db()
    assert import_row.state == Import.State.PREVIEWED
    said = {"licence": "cc-by-4.0", "homepage": "https://example.org/data"}
    act(lee, import_row, "import_start", said)
    import_row.refresh_from_db()
    assert (import_row.licence, import_row.homepage) == tuple(said.values())
    finish(import_row)
    assert 'href="https://example.org/data"' in page(lee, import_row)
    url = reverse("annotation:imports", args=[cast.project.pk])
    assert "cc-by-4.0" in lee.get(url).content.decode()
    act(lee, import_row, "import_about", {"licence": "mit"})
    import_row.refresh_from_db()
    assert (import_row.licence, import_row.homepage) == ("mit", "https://example.org/data")


def test_how_far_how_fast_and_how_long(lee, cast) -> None:
    row = Import.objects.create(
        project=cast.project,
        state=Import.State.RUNNING,
        rows_done=3_000,
        bytes_done=3 * 1024**2,
        bytes_total=12 * 1024**2,
    )
    url = reverse("annotation:import_progress", args=[row.pk])
    first = lee.get(url).content.decode()
    assert "3,000" in first and "of 12 MB, 25 %" in first and "left" not in first
    since = timezone.now().timestamp() - 10
    told = lee.get(url, {"at": since, "rows": 1_000, "bytes": 1024**2}).content.decode()
    assert ">200<" in told or ">199<" in told
    assert "about 40 seconds left" in told or "about 50 seconds left" in told
    for odd in ({"at": "x"}, {"at": "nan"}, {"at": since, "rows": 9_999}, {"at": "1e400"}):
        assert "left" not in lee.get(url, odd).content.decode()


def test_an_import_whose_worker_was_killed_says_that_it_waits_for_that(lee, cast) -> None:
    row = Import.objects.create(project=cast.project, state=Import.State.RUNNING)
    for seconds, said in ((None, False), (2, False), (40, True)):
        last = seconds and timezone.now() - timedelta(seconds=seconds)
        Import.objects.filter(pk=row.pk).update(heartbeat=last)
        words = page(lee, row, "import_progress")
        assert bool(re.search(r"has not been heard of for 4\d s", words)) is said
    Import.objects.filter(pk=row.pk).update(state=Import.State.QUEUED)
    assert "heard of" not in page(lee, row, "import_progress"), "waits for another import"


def test_the_end_says_what_to_do_next_and_gives_the_refusals(send, lee) -> None:
    import_row = send([*ROWS, {"instruction": "", "response": "x"}])
    act(lee, import_row, "import_start", {"skip_bad": "on"})
    import_row.refresh_from_db()
    finish(import_row)
    body = page(lee, import_row)
    assert "Make a dataset" in body and "Open the project" in body
    report = {**import_row.report, "refused": [{"line": 4, "reason": "=HYPERLINK(1)"}]}
    Import.objects.filter(pk=import_row.pk).update(report=report)
    table = lee.get(reverse("annotation:import_refusals", args=[import_row.pk]))
    assert "attachment" in table.headers["Content-Disposition"]
    assert table.content.decode() == "line,reason\r\n4,'=HYPERLINK(1)\r\n"


def test_the_encoding_is_said(lee, cast) -> None:
    url = reverse("annotation:imports", args=[cast.project.pk])
    text = '{"instruction": "Ciel ?", "response": "Bleu."}\n'.encode("utf-16")
    sent = {"way": "file", "file": SimpleUploadedFile("x.jsonl", text)}
    assert "Read as UTF-16" in lee.post(url, sent, follow=True).content.decode()


def test_limits_are_said_before_the_upload(lee, cast, settings) -> None:
    settings.IMPORT_MAX_ROWS = 1_234
    body = lee.get(reverse("annotation:imports", args=[cast.project.pk])).content.decode()
    assert "1,234 rows" in body
    for name in ("BYTES", "RATIO", "ROWS", "ROW_BYTES", "DEPTH"):
        assert f"<code>IMPORT_MAX_{name}</code>" in body


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
    assert "imported: B &gt; A = C" in shown


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


@pytest.mark.parametrize(
    ("name", "value", "file"),
    [
        ("IMPORT_MAX_BYTES", 10, upload(ROWS)),
        ("IMPORT_MAX_ROWS", 2, upload(ROWS)),
        ("IMPORT_MAX_ROW_BYTES", 20, upload(ROWS)),
        ("IMPORT_MAX_DEPTH", 2, upload([{**ROWS[0], "deep": [[[[1]]]]}])),
    ],
)
def test_a_refusal_names_the_limit_that_was_met(lee, cast, settings, name, value, file) -> None:
    setattr(settings, name, value)
    file.seek(0)
    url = reverse("annotation:imports", args=[cast.project.pk])
    body = lee.post(url, {"way": "file", "file": file}, follow=True).content.decode()
    assert f"({name})" in body
