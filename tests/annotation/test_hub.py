"""A dataset from the Hub, against a small server that answers as the Hub does."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pyarrow
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from pyarrow import parquet

from annotation import fetching, hub, importing
from annotation.errors import Refused
from annotation.models import Import, Prompt

SHA = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
license: cc-by-4.0
configs:
- config_name: main
  default: true
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
- config_name: extra
  data_files: extra.jsonl
---
# Questions
"""


def table(rows: list[dict[str, str]]) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


def row(text: str) -> dict[str, str]:
    return {"instruction": f"Say {text}.", "response": text}


class Hub:
    """What the server has; `asked` is every path with the authorization that came with it."""

    def __init__(self) -> None:
        self.files = {
            "README.md": CARD.encode(),
            "data/train-00000-of-00002.parquet": table([row("a"), row("b")]),
            "data/train-00001-of-00002.parquet": table([row("c")]),
            "data/test-00000-of-00001.parquet": table([row("d")]),
            "extra.jsonl": json.dumps(row("e")).encode() + b"\n",
            ".gitattributes": b"",
        }
        self.sizes: dict[str, int] = {}
        self.status = 200
        self.asked: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((path, self.headers.get("Authorization")))
        status, headers, body = self.hub.status, {}, b"{}"
        if status == 200 and path.startswith("/api/datasets/ann/questions"):
            if "/revision/" in path and not path.endswith(("/revision/main", f"/revision/{SHA}")):
                status, headers = 404, {"X-Error-Code": "RevisionNotFound"}
            siblings = [
                {"rfilename": name, "size": self.hub.sizes.get(name, len(data))}
                for name, data in self.hub.files.items()
            ]
            body = json.dumps({"id": "ann/questions", "sha": SHA, "siblings": siblings}).encode()
        elif status == 200 and path.startswith(f"/datasets/ann/questions/resolve/{SHA}/"):
            body = self.hub.files[path.split(f"{SHA}/")[1]]
            headers = {"X-Repo-Commit": SHA, "ETag": f'"{len(body)}{hash(body)}"'}
        elif status == 200:
            status, headers = 404, {"X-Error-Code": "RepoNotFound"}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


@pytest.fixture
def server(settings, monkeypatch, tmp_path):
    """The Hub of these tests, allowed; the credentials of whoever runs them must stay at home."""
    settings.ALLOW_HUB = True
    settings.MEDIA_ROOT = tmp_path / "uploads"
    there = Hub()
    web = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": there}))
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{web.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_server")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield there
    web.shutdown()
    web.server_close()
    thread.join()


def bring(cast, **which) -> Import:
    import_row = fetching.from_hub(
        project=cast.project, user=cast.lee, repo="ann/questions", **which
    )
    fetching.fetch(import_row)
    return import_row


def kept(settings) -> list[str]:
    """What lies among the uploads."""
    return sorted(path.name for path in settings.MEDIA_ROOT.rglob("*") if path.is_file())


def test_all_splits_of_a_dataset_come_in_with_commit_and_licence(cast, server, settings) -> None:
    import_row = bring(cast)
    assert (import_row.layout, import_row.licence) == ("instruction", "cc-by-4.0")
    assert import_row.source == f"hub:ann/questions@{SHA}"
    assert import_row.homepage.endswith(f"/datasets/ann/questions/tree/{SHA}")
    report = importing.run_now(import_row)
    assert (report["rows"], report["imported"], report["refused"]) == (4, 4, [])
    splits = {p.messages[0]["content"]: p.metadata["split"] for p in Prompt.objects.all()}
    assert splits == {"Say a.": "train", "Say b.": "train", "Say c.": "train", "Say d.": "test"}
    assert not kept(settings)
    assert all(credentials is None for _, credentials in server.asked)
    assert not any("extra" in path for path, _ in server.asked)


def test_one_split_one_config_one_revision(cast, server) -> None:
    assert importing.run_now(bring(cast, split="test"))["rows"] == 1
    extra = bring(cast, config="extra", revision="main")
    assert extra.filename == "ann/questions extra" and importing.run_now(extra)["rows"] == 1


@pytest.mark.parametrize(
    ("which", "why"),
    [
        ({"repo": "questions"}, "is no Hub id: write owner/name"),
        ({"repo": "ann/../etc"}, "is no Hub id"),
        ({"repo": "bob/nothing"}, "There is no public dataset bob/nothing"),
        ({"repo": "ann/questions", "revision": "v9"}, "has no revision “v9”"),
        ({"repo": "ann/questions", "revision": "a b"}, "is no branch, tag or commit"),
        ({"repo": "ann/questions", "split": "dev"}, "there are: “train”, “test”"),
        ({"repo": "ann/questions", "config": "all"}, "there are: “main”, “extra”"),
    ],
)
def test_what_is_refused_before_anything_comes(cast, server, which, why) -> None:
    with pytest.raises(Refused, match=why):
        fetching.from_hub(project=cast.project, user=None, **which)
    assert not Import.objects.exists()
    assert not any("parquet" in path for path, _ in server.asked)


def test_too_large_is_said_before_anything_comes(cast, server, settings) -> None:
    settings.IMPORT_MAX_BYTES = 100
    with pytest.raises(Refused, match="IMPORT_MAX_BYTES"):
        bring(cast)
    assert not any("parquet" in path for path, _ in server.asked)


def test_a_name_that_climbs_is_refused(cast, server) -> None:
    server.files["../../escape.parquet"] = b"x"
    with pytest.raises(Refused, match="is no file below the directory"):
        bring(cast)


def test_a_file_that_is_larger_than_was_said_fails_and_comes_again(cast, server, settings) -> None:
    server.sizes["data/test-00000-of-00001.parquet"] = 10
    import_row = bring(cast)
    assert import_row.state == Import.State.FAILED and "test-00000" in import_row.reason
    assert kept(settings) == ["wanted.json"]
    with pytest.raises(Refused, match="say which columns"):
        importing.start(import_row)
    server.sizes.clear()
    again = bring(cast)
    assert importing.run_now(again)["imported"] == 4


def test_a_failed_download_begins_again_from_its_page(as_user, cast, server, monkeypatch) -> None:
    lee, sent = as_user(cast.lee), []
    monkeypatch.setattr(fetching, "_wake", sent.append)
    url = reverse("annotation:imports", args=[cast.project.pk])
    response = lee.post(url, {"way": "hub", "hub": "ann/questions"})
    import_row = Import.objects.get()
    assert response.url == reverse("annotation:import", args=[import_row.pk])
    assert "Downloading from the Hub" in lee.get(response.url).content.decode()
    server.status = 503
    monkeypatch.setattr(
        hub, "download", lambda *_: (_ for _ in ()).throw(Refused("It did not answer."))
    )
    fetching.fetch(import_row)
    body = lee.get(response.url).content.decode()
    assert "It did not answer." in body and "Download again" in body
    monkeypatch.undo()
    server.status = 200
    lee.post(reverse("annotation:import_fetch", args=[import_row.pk]))
    import_row.refresh_from_db()
    assert import_row.state == Import.State.PREVIEWED and not import_row.reason


def test_a_cancelled_download_leaves_nothing(cast, server, settings, monkeypatch) -> None:
    import_row = fetching.from_hub(project=cast.project, user=None, repo="ann/questions")
    real = hub.download

    def cancel_then_go_on(*args):
        if import_row.state == Import.State.PREVIEWED:
            importing.cancel(Import.objects.get(pk=import_row.pk))
        return real(*args)

    monkeypatch.setattr(hub, "download", cancel_then_go_on)
    fetching.fetch(import_row)
    assert import_row.state == Import.State.CANCELLED
    assert not kept(settings)


def test_nothing_is_asked_where_the_hub_is_off(as_user, cast, server, settings) -> None:
    settings.ALLOW_HUB = False
    url = reverse("annotation:imports", args=[cast.project.pk])
    lee = as_user(cast.lee)
    assert "ANNOTUNE_ALLOW_HUB=1" in lee.get(url).content.decode()
    lee.post(url, {"way": "hub", "hub": "ann/questions"})
    assert not Import.objects.exists() and not server.asked


def test_a_server_that_fails_is_said(cast, server) -> None:
    server.status = 500
    with pytest.raises(Refused, match="did not answer as it should"):
        fetching.from_hub(project=cast.project, user=None, repo="ann/questions")


def test_nobody_there_is_said(cast, settings, monkeypatch) -> None:
    settings.ALLOW_HUB = True
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Refused, match="cannot be reached|did not answer"):
        fetching.from_hub(project=cast.project, user=None, repo="ann/questions")


def test_a_server_that_is_to_stay_offline_says_so(cast, server, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Refused, match="HF_HUB_OFFLINE"):
        fetching.from_hub(project=cast.project, user=None, repo="ann/questions")


def test_the_command_imports_from_the_hub(cast, server, settings) -> None:
    out = io.StringIO()
    call_command("import_prompts", "support-desk", "hub:ann/questions", "--dry-run", stdout=out)
    assert "Dry run" in out.getvalue() and not kept(settings) and not Import.objects.exists()
    call_command("import_prompts", "support-desk", "hub:ann/questions", "--split=train", stdout=out)
    assert "3 rows: 3 imported" in out.getvalue()
    assert Import.objects.get().licence == "cc-by-4.0"
    with pytest.raises(CommandError, match="no split"):
        call_command("import_prompts", "support-desk", "hub:ann/questions", "--split=dev")
    assert Import.objects.count() == 1
