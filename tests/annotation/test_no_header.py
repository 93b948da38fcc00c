"""Tables without a header: their first line is a row, and comes in."""

import io
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotation import importing
from annotation.models import ColumnMapping, Import, Prompt, Response
from annotation.readers import Limits, ReadError, open_source
from annotation.readers.tables import looks_like_row

TABLE = b"What is the sky?,It is blue.\nWhat is grass?,It is green.\n"
MAPPED = {"by_columns": "1", "use_0": "prompt", "use_1": "response"}
BY_NUMBER = {"prompt": "column 1", "response": "column 2"}
QUESTIONS = ["What is grass?", "What is the sky?"]


def questions() -> list[str]:
    return sorted(prompt.messages[-1]["content"] for prompt in Prompt.objects.all())


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def send(lee, cast):
    def act(data: bytes = TABLE) -> tuple[Import, str]:
        url = reverse("annotation:imports", args=[cast.project.pk])
        body = lee.post(url, {"file": SimpleUploadedFile("faq.csv", data)}, follow=True)
        return Import.objects.latest("pk"), body.content.decode()

    return act


def act(client, import_row: Import, name: str, data: dict[str, str]) -> str:
    url = reverse(f"annotation:{name}", args=[import_row.pk])
    return client.post(url, data, follow=True).content.decode()


def test_the_page_suggests_it_and_the_first_line_comes_in(send, lee) -> None:
    import_row, body = send()
    assert "The first line looks like a row" in body
    body = act(lee, import_row, "import_header", {"no_header": "on"})
    assert "looks like a row" not in body and "column 2</b>" in body
    assert 'name="no_header" checked' in body
    assert "Import 2 rows" in act(lee, import_row, "import_change", MAPPED)
    act(lee, import_row, "import_start", {})
    import_row.refresh_from_db()
    importing.run(import_row)
    assert questions() == QUESTIONS
    assert Response.objects.filter(text="It is blue.").exists()


def test_it_is_taken_back_with_what_was_mapped(send, lee) -> None:
    import_row, _ = send()
    act(lee, import_row, "import_header", {"no_header": "on"})
    act(lee, import_row, "import_change", MAPPED)
    body = act(lee, import_row, "import_header", {})
    import_row.refresh_from_db()
    assert (import_row.no_header, import_row.mapping, import_row.layout) == (False, {}, "")
    assert "No layout fits the columns “what is the sky?”" in body


def test_a_saved_mapping_keeps_it_and_is_taken_for_the_next_such_file(send, lee) -> None:
    import_row, _ = send()
    act(lee, import_row, "import_header", {"no_header": "on"})
    act(lee, import_row, "mapping_keep", {**MAPPED, "mapping_name": "faq"})
    assert ColumnMapping.objects.get().no_header
    again, body = send()
    assert again.no_header and again.mapping == BY_NUMBER
    assert "Read by the saved mapping “faq”" in body
    named, _ = send(b"question,answer\nSky?,Blue.\n")
    assert not named.no_header and named.mapping != BY_NUMBER


def test_a_header_that_is_one_gets_no_hint_and_a_file_of_objects_no_tick(send) -> None:
    _, body = send(b"question,answer\nSky?,Blue.\n")
    assert 'name="no_header"' in body and "looks like a row" not in body
    _, body = send(b'{"was": "Sky?", "is": "Blue."}\n')
    assert 'name="no_header"' not in body


def test_an_import_that_has_started_keeps_its_header(send, lee) -> None:
    import_row, _ = send()
    Import.objects.filter(pk=import_row.pk).update(state=Import.State.RUNNING)
    assert "has started" in act(lee, import_row, "import_header", {"no_header": "on"})
    import_row.refresh_from_db()
    assert not import_row.no_header


def test_on_the_shell(cast, tmp_path: Path) -> None:
    path = tmp_path / "faq.tsv"
    path.write_bytes(TABLE.replace(b",", b"\t"))
    said = io.StringIO()
    pairs = [f"{field}={column}" for field, column in BY_NUMBER.items()]
    here = cast.project.slug, str(path)
    call_command("import_prompts", *here, "--no-header", "--map", *pairs, stdout=said)
    assert "2 imported" in said.getvalue() and questions() == QUESTIONS
    with pytest.raises(CommandError, match="--no-header is for one table"):
        call_command("import_prompts", *here, "--no-header")


def rows(data: bytes) -> list:
    return list(open_source(io.BytesIO(data), Limits.of_settings(), no_header=True).rows())


def test_the_reader() -> None:
    assert rows(b"a;b\nc;d;e\n") == [
        (1, {"column 1": "a", "column 2": "b"}),
        (2, "has 3 cells; the first line has 2"),
    ]
    assert rows(b"yes,yes\n") == [(1, {"column 1": "yes", "column 2": "yes"})]
    assert rows(b"Where am I?\nAnd you?\n")[1] == (2, {"column 1": "And you?"})
    with pytest.raises(ReadError, match="Only a table"):
        rows(b'{"a": 1}\n')


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["question", "best answer", "no"], False),
        (["id", "q1", "Text of the answer"], False),
        (["17", "sky"], True),
        (["sky", "-1,5"], True),
        (["what is the sky?", "blue"], True),
        (["say what is up there now", "blue"], True),
    ],
)
def test_what_looks_like_a_row(cells: list[str], row: bool) -> None:
    assert looks_like_row(cells) is row
