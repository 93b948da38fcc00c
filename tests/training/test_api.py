"""Runs over HTTP: the same acts, the same refusals."""

import pytest
from django.utils import timezone

from annotation.models import ApiToken
from training import preflights
from training.models import Preflight, Run


@pytest.fixture
def api(client, cast):
    _, secret = ApiToken.issue(cast.lee, "a script")

    def call(method: str, path: str, data=None):
        send = getattr(client, method)
        headers = {"Authorization": f"Bearer {secret}"}
        if method == "get":
            return send(f"/api{path}", headers=headers)
        return send(f"/api{path}", data or {}, content_type="application/json", headers=headers)

    return call


@pytest.fixture(autouse=True)
def looked(monkeypatch):
    monkeypatch.setattr(preflights, "_ask", lambda *_: {"ok": True})


def new(snapshot, **more):
    return {"recipe": "sft", "inputs": {"snapshot": snapshot.pk, "model": "tiny"}, **more}


def test_create_read_list_cancel_resume(api, freeze, base, sent) -> None:
    made = api("post", "/workspaces/acme/runs/", new(freeze("sft"), config={"lora_rank": 4}))
    assert made.status_code == 202, made.content
    pk = made.json()["id"]
    assert made.json()["config"]["lora_rank"] == 4 and made.json()["state"] == "queued"
    assert {row["name"] for row in made.json()["inputs"]} == {"snapshot", "model"}
    assert api("get", f"/runs/{pk}/").json()["name"] == "SFT on Support sft v1"
    assert [row["id"] for row in api("get", "/workspaces/acme/runs/").json()["results"]] == [pk]
    assert api("post", f"/runs/{pk}/cancel/").json()["state"] == "cancelled"
    assert api("post", f"/runs/{pk}/cancel/").status_code == 400
    assert api("post", f"/runs/{pk}/resume/").json()["state"] == "queued"
    assert api("get", f"/runs/{pk}/events/").json()["results"][0]["data"]["code"] == "resumed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {"lora_rank": 0}}, "lora_rank"),
        ({"recipe": "convert"}, "recipe"),
        ({"inputs": {"model": "tiny"}}, "needs snapshot"),
        ({"inputs": {"snapshot": "7777", "model": "tiny"}}, "no such snapshot"),
        ({"inputs": {"snapshot": "SNAPSHOT", "model": "/etc"}}, "outside the folders"),
        ({"inputs": {"snapshot": "SNAPSHOT", "model": "tiny", "init": "77"}}, "no run 77"),
    ],
)
def test_what_is_refused(api, freeze, base, sent, change, words) -> None:
    snapshot = freeze("sft")
    data = new(snapshot) | change
    data["inputs"] = {
        name: snapshot.pk if value == "SNAPSHOT" else value
        for name, value in data["inputs"].items()
    }
    answer = api("post", "/workspaces/acme/runs/", data)
    assert answer.status_code == 400 and words in answer.content.decode()
    assert not Run.objects.exists()


def test_a_rule_that_cannot_judge_is_told_at_its_knob(api, freeze, base) -> None:
    asked = {
        "recipe": "ppo",
        "inputs": {"model": "tiny", "snapshot": freeze("prompts").pk},
        "config": {"rule": "length"},
    }
    answer = api("post", "/workspaces/acme/runs/", asked)
    assert answer.status_code == 400 and list(answer.json()) == ["rule_value"]
    assert not Preflight.objects.exists()


def test_a_preflights_refusal(api, freeze, base, sent, monkeypatch) -> None:
    monkeypatch.setattr(preflights, "_ask", lambda *_: {"ok": False, "refusals": ["Too big."]})
    answer = api("post", "/workspaces/acme/runs/", new(freeze("sft")))
    assert answer.status_code == 400 and "Too big." in answer.content.decode()


def test_nothing_crosses_a_workspace(api, freeze, base, sent, cast) -> None:
    theirs = freeze("sft", workspace=cast.other, name="Theirs")
    answer = api("post", "/workspaces/acme/runs/", new(theirs))
    assert answer.status_code == 400 and "no such snapshot" in answer.content.decode()
    assert api("post", "/workspaces/other/runs/", new(theirs)).status_code == 404


def test_a_program_asks_until_the_preflight_is_done(api, freeze, base, sent, worker) -> None:
    snapshot = freeze("sft")
    worker.clear()
    for _ in range(2):
        answer = api("post", "/workspaces/acme/runs/", new(snapshot))
        assert answer.status_code == 409 and answer["Retry-After"] == "2"
        assert "waiting for a worker" in answer.json()["detail"]
    row = Preflight.objects.get()
    assert not Run.objects.exists()
    preflights.compute(row.pk)
    assert api("post", "/workspaces/acme/runs/", new(snapshot)).status_code == 202


def test_a_program_waits_for_its_turn(api, freeze, base, sent, worker, monkeypatch) -> None:
    monkeypatch.setattr(preflights, "AT_ONCE", 1)
    worker.clear()
    snapshot = freeze("sft")
    assert api("post", "/workspaces/acme/runs/", new(snapshot)).status_code == 409
    other = new(snapshot) | {"config": {"seed": 7}}
    answer = api("post", "/workspaces/acme/runs/", other)
    assert (answer.status_code, answer["Retry-After"]) == (409, "10")
    assert "1 preflights under way" in answer.json()["detail"]
    preflights.compute(Preflight.objects.get().pk)
    answer = api("post", "/workspaces/acme/runs/", other)
    assert (answer.status_code, answer["Retry-After"]) == (409, "2")


def test_the_schema_says_that_it_may_be_too_early(api) -> None:
    schema = api("get", "/schema/?format=json").json()
    answers = schema["paths"]["/api/workspaces/{slug}/runs/"]["post"]["responses"]
    assert set(answers) == {"202", "409"} and "Retry-After" in answers["409"]["description"]


def test_a_refusal_is_looked_at_anew_after_a_minute(
    api, freeze, base, sent, worker, monkeypatch
) -> None:
    snapshot = freeze("sft")
    monkeypatch.setattr(preflights, "_ask", lambda *_: {"ok": False, "refusals": ["Too big."]})
    assert api("post", "/workspaces/acme/runs/", new(snapshot)).status_code == 400
    monkeypatch.setattr(preflights, "_ask", lambda *_: {"ok": True})
    assert api("post", "/workspaces/acme/runs/", new(snapshot)).status_code == 400
    Preflight.objects.update(computed=timezone.now() - 2 * preflights.FRESH)
    assert api("post", "/workspaces/acme/runs/", new(snapshot)).status_code == 202
