"""What no page sends, in addresses and bodies: numbers beyond a database's, and NUL characters,
which PostgreSQL takes for an error. An answer, and never a breakdown."""

from typing import Any

import pytest

pytestmark = pytest.mark.django_db
NUMBERS = ["9" * 30, "9" * 5000]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_no_row_has(as_user, cast, number: str) -> None:
    lee, project = as_user(cast.lee), cast.project.pk
    for query in (f"after={number}", f"before={number}"):
        assert lee.get(f"/projects/{project}/prompts/?{query}").status_code == 200
    assert lee.get(f"/projects/{project}/guidelines/?version={number}").status_code == 200
    answer = lee.get(f"/api/projects/{project}/submissions/?stage={number}")
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    for inputs in ({"snapshot": number, "model": "tiny"}, {"snapshot": "1", "model": number}):
        body = {"recipe": "sft", "inputs": inputs}
        answer = lee.post("/api/workspaces/acme/runs/", body, content_type="application/json")
        assert answer.status_code == 400 and "detail" in answer.json()


def test_characters_that_no_database_stores(as_user, cast) -> None:
    lee, project = as_user(cast.lee), cast.project.pk
    assert lee.get(f"/projects/{project}/prompts/?q=%00").status_code == 200
    for query in ("prompts/?external_id=%00", "submissions/?state=%00"):
        answer = lee.get(f"/api/projects/{project}/{query}")
        assert (answer.status_code, answer.json()["results"]) == (200, [])
    rules: dict[str, Any] = {"projects": ["support-desk"], "prompt_template": "{prompt}\0"}
    body = {"name": "d", "kind": "sft", "selection": rules}
    answer = lee.post("/api/workspaces/acme/datasets/", body, content_type="application/json")
    assert answer.status_code == 400 and "NUL" in answer.json()["prompt_template"][0]
