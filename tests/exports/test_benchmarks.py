"""Benchmarks: any layout becomes texts, a name once, and no deletion under a rule."""

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from annotation.errors import Refused
from exports import benchmarks
from exports.models import Benchmark, Dataset

pytestmark = pytest.mark.django_db

ROWS = [
    {"instruction": "How many legs has a cow?", "input": "", "output": "Four."},
    {"instruction": "And a hen?\nTell me.", "input": "", "output": "Two."},
]


def upload(rows: object = ROWS, name: str = "test.jsonl") -> SimpleUploadedFile:
    text = rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows)
    return SimpleUploadedFile(name, text.encode())


@pytest.fixture
def farm(cast) -> Benchmark:
    return benchmarks.add(workspace=cast.acme, name="Farm", upload=upload(), user=cast.lee)


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


def test_prompts_and_answers_become_texts(farm, cast) -> None:
    assert list(benchmarks.texts(farm)) == [
        "How many legs has a cow?", "Four.", "And a hen?\nTell me.", "Two.",
    ]  # fmt: skip
    assert (farm.texts, farm.filename, farm.created_by) == (4, "test.jsonl", cast.lee)
    assert len(farm.sha256) == 64 and not Path(farm.path).is_absolute()


def test_of_a_conversation_the_last_turn(cast) -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello you"},
        {"role": "user", "content": "What is new?"},
        {"role": "assistant", "content": "Nothing."},
    ]
    made = benchmarks.add(
        workspace=cast.acme, name="Chat", upload=upload([{"messages": turns}]), user=None
    )
    assert {"What is new?", "Nothing."} <= set(benchmarks.texts(made))


def test_equal_files_have_equal_hashes(farm, cast) -> None:
    again = benchmarks.add(workspace=cast.acme, name="Again", upload=upload(), user=None)
    assert again.sha256 == farm.sha256 and again.path != farm.path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "empty"),
        ("{", "row|JSON|layout"),
        ([{"colour": "red"}, {"colour": "blue"}], "No layout fits the columns “colour”"),
        ("PK\x03\x04 an archive", "zip|archive"),
    ],
)
def test_files_that_are_refused(cast, rows, words: str) -> None:
    with pytest.raises(Refused, match=words):
        benchmarks.add(workspace=cast.acme, name="Bad", upload=upload(rows), user=None)
    assert not Benchmark.objects.exists()
    left = Path(benchmarks.settings.BENCHMARK_ROOT)
    assert not [path for path in left.rglob("*") if path.is_file()], "nothing is left behind"


def test_a_name_is_given_once(farm, cast) -> None:
    for name in ("Farm", " Farm ", "", "x" * 101):
        with pytest.raises(Refused):
            benchmarks.add(workspace=cast.acme, name=name, upload=upload(), user=None)
    other = benchmarks.add(workspace=cast.other, name="Farm", upload=upload(), user=None)
    assert other.workspace == cast.other


def test_too_many_texts(cast, monkeypatch) -> None:
    monkeypatch.setattr(benchmarks, "MOST", 3)
    with pytest.raises(Refused, match="at most 3 texts"):
        benchmarks.add(workspace=cast.acme, name="Big", upload=upload(), user=None)


def test_none_is_deleted_under_a_rule(farm, sft) -> None:
    Dataset.objects.update(selection=sft.selection | {"not_in": ["benchmark Farm"]})
    with pytest.raises(Refused, match="“Support SFT” apart"):
        benchmarks.delete(benchmark=farm)
    Dataset.objects.update(selection=sft.selection)
    path = benchmarks._path(farm)
    benchmarks.delete(benchmark=farm)
    assert not Benchmark.objects.exists() and not path.exists()


def test_a_file_that_is_gone(farm) -> None:
    benchmarks._path(farm).unlink()
    with pytest.raises(Refused, match="upload it again"):
        list(benchmarks.texts(farm))
    benchmarks.delete(benchmark=farm)


def test_the_page(lee, cast, sft) -> None:
    address = reverse("exports:benchmarks", args=["acme"])
    shown = lee.post(address, {"name": "Farm", "file": upload()}, follow=True).content.decode()
    assert "“Farm” is there: 4 texts" in shown and "test.jsonl" in shown
    again = lee.post(address, {"name": "Farm", "file": upload()}).content.decode()
    assert "There is a benchmark “Farm” already" in again and "Not uploaded" in again
    bad = lee.post(address, {"name": "Bad", "file": upload("{")}).content.decode()
    assert "Not uploaded" in bad and 'value="Bad"' in bad
    edit = reverse("exports:dataset_edit", args=[sft.pk])
    assert "the benchmark Farm (4 texts)" in lee.get(edit).content.decode()
    delete = reverse("exports:benchmark_delete", args=[Benchmark.objects.get().pk])
    assert "say that you are sure" in lee.post(delete, follow=True).content.decode()
    assert "4 texts go for good" in lee.get(address).content.decode()
    shown = lee.post(delete, {"sure": "yes"}, follow=True).content.decode()
    assert "“Farm” is deleted" in shown
    assert not Benchmark.objects.exists()


def test_the_page_does_not_delete_under_a_rule(lee, farm, sft) -> None:
    Dataset.objects.update(selection=sft.selection | {"not_in": ["benchmark Farm"]})
    delete = reverse("exports:benchmark_delete", args=[farm.pk])
    shown = lee.post(delete, {"sure": "yes"}, follow=True).content.decode()
    assert "take it out of those rules first" in shown
    assert Benchmark.objects.exists()
