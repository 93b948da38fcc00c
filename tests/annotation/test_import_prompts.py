"""The same import from a shell: exit code 0, or 1 with the reason, and the report as a file."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import mappings
from annotation.models import Import, Membership, Project, Prompt, Response, Workspace
from annotation.reports import KEYS

ROWS = [{"instruction": f"Say {n}.", "response": f"{n}"} for n in range(3)]
BAD = {"instruction": "", "response": "x"}


@pytest.fixture
def write(tmp_path: Path):
    def act(rows: list[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return path

    return act


def run(*arguments: Any) -> str:
    out = StringIO()
    call_command("import_prompts", *map(str, arguments), stdout=out, stderr=out)
    return out.getvalue()


def refused(*arguments: Any) -> str:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert error.value.returncode == 1
    return str(error.value)


def test_into_a_project_that_is_there(cast, write, tmp_path) -> None:
    said = run("support-desk", write(ROWS), "--report", tmp_path / "report.json")
    assert "3 rows: 3 imported, 0 updated, 0 unchanged, 0 refused" in said
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert list(report) == KEYS
    assert (report["file"], report["layout"]) == ("rows.jsonl", "instruction")
    assert (report["rows"], report["imported"], report["prompts"]) == (3, 3, 3)
    assert Prompt.objects.live().filter(project=cast.project).count() == 3


def test_create_makes_what_is_missing(db, write) -> None:
    run("science-tutor", write(ROWS), "--create")
    project = Project.objects.get()
    assert (project.slug, project.name) == ("science-tutor", "Science tutor")
    assert (project.workspace.slug, project.workspace.salt) == ("default", "annotune:default")
    assert not Membership.objects.exists()
    run("other", write(ROWS), "--create", "--workspace", "lab")
    assert Workspace.objects.get(slug="lab").projects.get().prompts.count() == 3


@pytest.mark.parametrize("extra", [(), ("--dry-run", "--skip-bad")])
def test_nothing_is_left_of_what_did_not_happen(db, write, extra) -> None:
    arguments = ("new", write([*ROWS, BAD]), "--create", *extra)
    if extra:
        assert "Dry run, nothing was kept." in run(*arguments)
    else:
        assert "line 4: the prompt is empty" in refused(*arguments)
    for model in (Workspace, Project, Prompt, Response, Import):
        assert not model.objects.exists()


def test_all_or_nothing_and_skip_bad(cast, write, tmp_path) -> None:
    path, report = write([*ROWS, BAD]), tmp_path / "report.json"
    assert "Nothing was imported: 1 row is refused" in refused(
        "support-desk", path, "--report", report
    )
    stored = json.loads(report.read_text("utf-8"))
    assert stored["refused"] == [{"line": 4, "reason": "the prompt is empty"}]
    assert stored["prompts"] == 0 and not Prompt.objects.exists()
    assert "refused: line 4: the prompt is empty" in run("support-desk", path, "--skip-bad")
    assert Prompt.objects.count() == 3


def test_mapping_and_layout(cast, write) -> None:
    path = write([{"q": "Sky?", "a": "Blue.", "l": "en"}])
    assert "No layout fits the columns “q”, “a”, “l”" in refused("support-desk", path)
    assert not Import.objects.exists()
    run("support-desk", path, "--map", "prompt=q", "response=a", "--map", "metadata.lang=l")
    assert Response.objects.get().text == "Blue."
    assert Prompt.objects.get().metadata == {"lang": "en"}
    assert "turns" in refused("support-desk", path, "--layout", "sharegpt")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere", "{path}"], "There is no project “nowhere”; --create makes it"),
        (["support-desk", "/not/there.jsonl"], "There is no file /not/there.jsonl"),
        (["support-desk", "{path}", "--map", "prompt"], "FIELD=COLUMN"),
        (["support-desk", "{path}", "--map", "x=y"], "“x” is no field"),
        (["support-desk", "{path}", "--layout", "hh", "--map", "prompt=a"], "one of them"),
        (["support-desk", "{path}", "--layout", "xml"], "invalid choice"),
        (["new", "{path}", "--create"], "several workspaces"),
    ],
)
def test_refusals(cast, write, arguments: list[str], reason: str) -> None:
    path = str(write(ROWS))
    assert reason in refused(*(argument.format(path=path) for argument in arguments))
    assert not Prompt.objects.exists() and Project.objects.count() == 1


def test_a_short_name_in_two_workspaces(cast, write) -> None:
    Project.objects.create(workspace=cast.other, name="Desk", slug="support-desk")
    path = write(ROWS)
    assert "add --workspace" in refused("support-desk", path)
    run("support-desk", path, "--workspace", "other")
    assert Prompt.objects.filter(project__workspace=cast.other).count() == 3


def test_a_report_is_written_of_a_file_that_is_none(cast, tmp_path) -> None:
    path, report = tmp_path / "x.zip", tmp_path / "report.json"
    path.write_bytes(b"PK\x03\x04")
    assert "a zip archive" in refused("support-desk", path, "--report", report)
    stored = json.loads(report.read_text("utf-8"))
    assert list(stored) == KEYS and stored["rows"] == 0
    assert "a zip archive" in stored["notes"][0]["note"]


def test_a_saved_mapping_a_licence_and_a_homepage(cast, write) -> None:
    file = write([{"was": "Sky?", "is": "Blue."}])
    assert "no saved mapping “FAQ”" in refused("support-desk", file, "--mapping=FAQ")
    mapping = {"prompt": "was", "response.is": "is"}
    mappings.keep(workspace=cast.acme, name="FAQ", mapping=mapping, user=None)
    page = "https://example.org/faq"
    run("support-desk", file, "--mapping=FAQ", "--licence=mit", f"--homepage={page}")
    row = Import.objects.get()
    assert (row.mapping, row.licence, row.homepage) == (mapping, "mit", page)
    assert Response.objects.get().author_name == "is"
    assert "one of them" in refused("support-desk", file, "--mapping=FAQ", "--layout=dolly")
    assert "https://" in refused("support-desk", file, "--homepage=javascript:x")
    assert "--revision is for the Hub" in refused("support-desk", file, "--revision=main")
