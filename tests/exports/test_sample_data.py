"""Real comparisons, imported, frozen, and held against the file they came from, row by row."""

import gzip
import json
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from exports import datasets, snapshots
from exports.files import hash_data, read_rows
from exports.models import Snapshot

pytestmark = pytest.mark.django_db
Key = tuple[tuple[tuple[str, str], ...], str, str]  # the turns, the better text, the worse one
ROLES = {"Human": "user", "Assistant": "assistant", "prompter": "user"}


def key(turns: list[tuple[str, str]], better: str, worse: str) -> Key:
    return tuple((role, text.strip()) for role, text in turns), better.strip(), worse.strip()


def key_of(row: dict[str, Any]) -> Key:
    turns = [(turn["role"], turn["content"]) for turn in row["prompt"]]
    return key(turns, row["chosen"][0]["content"], row["rejected"][0]["content"])


def oasst_pairs(path: Path) -> list[Key]:
    """Every two candidates with different ranks; 0 is best."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        turns = [(ROLES.get(turn["role"], turn["role"]), turn["text"]) for turn in row["turns"]]
        ranked = [one for one in row["candidates"] if one["rank"] is not None]
        for a, b in combinations(ranked, 2):
            if a["rank"] != b["rank"]:
                better, worse = sorted((a, b), key=lambda one: one["rank"])
                found.append(key(turns, better["text"], worse["text"]))
    return found


def dialogue(text: str) -> list[tuple[str, str]]:
    turns: list[tuple[str, str]] = []
    for part in text.split("\n\n"):
        who, colon, said = part.partition(":")
        if colon and who in ROLES:
            turns.append((ROLES[who], said.strip()))
        elif turns:
            turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n\n{part}")
    return turns


def hh_pairs(path: Path) -> tuple[list[Key], list[Key]]:
    """The pairs of the file, and those of them that no importer can take: one whose two prompts
    differ, and one with an empty answer."""
    found, bad = [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            chosen, rejected = dialogue(row["chosen"]), dialogue(row["rejected"])
            pair = key(chosen[:-1], chosen[-1][1], rejected[-1][1])
            found.append(pair)
            if chosen[:-1] != rejected[:-1] or not pair[1] or not pair[2]:
                bad.append(pair)
    return found, bad


def frozen(cast, path: Path, project: str) -> Snapshot:
    options = {"create": True, "workspace": "acme", "skip_bad": True, "stdout": StringIO()}
    call_command("import_prompts", project, str(path), **options)
    dataset = datasets.create(
        workspace=cast.acme,
        name=project,
        kind="preference",
        values={"projects": [project]},
        user=None,
    )
    return snapshots.freeze_now(dataset=dataset, user=None)


def longer_wins(pairs: list[Key]) -> tuple[int, int]:
    """How often the better text is the longer one, of how many whose lengths differ."""
    differ = [(len(a), len(b)) for _, a, b in pairs if len(a) != len(b)]
    return sum(a > b for a, b in differ), len(differ)


def test_oasst_ranks(cast, sample_data) -> None:
    path = sample_data / "ranking" / "oasst1_ranked.jsonl"
    raw = oasst_pairs(path)
    assert len(raw) == 396
    snapshot = frozen(cast, path, "oasst")
    rows = list(read_rows(Path(snapshot.path)))
    assert sorted(map(key_of, rows)) == sorted(raw), "each pair, in the file's direction, once"
    assert len(rows) == snapshot.rows and hash_data(Path(snapshot.path))[0] == snapshot.sha256
    assert longer_wins(raw) == (250, 396)
    wins = snapshot.stats["longer_wins"]
    assert (wins["pairs"], round(wins["share"], 2)) == (396, 0.63)
    assert wins["low"] < 0.63 < wins["high"]


def test_hh_pairs(cast, sample_data) -> None:
    path = sample_data / "hh" / "harmless_base_train.jsonl.gz"
    raw, bad = hh_pairs(path)
    assert (len(raw), len(bad)) == (392, 2)
    snapshot = frozen(cast, path, "hh")
    got = [key_of(row) for row in read_rows(Path(snapshot.path))]
    assert len(got) == snapshot.rows
    assert set(got) <= set(raw), "no pair is turned round and none is made up"
    missing = sorted(pair for pair in raw if pair not in set(got))
    assert missing == sorted(bad), "what the importer refused, and nothing else"
    won, differ = longer_wins(raw)
    assert (won, differ) == (174, 389) and round(won / differ, 2) == 0.45
    assert round(snapshot.stats["longer_wins"]["share"], 2) == 0.45


@pytest.mark.parametrize("name", ["ranking/oasst1_ranked.jsonl", "hh/harmless_base_train.jsonl.gz"])
@pytest.mark.recipe
def test_reward_trainer_takes_the_snapshot_as_it_is(
    cast, sample_data, tmp_path, monkeypatch, name: str
) -> None:
    """load_dataset(DIR) into TRL's RewardTrainer, with no code of ours in between."""
    import datasets as hub
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    from tests.recipes.conftest import save_llama

    torch.set_num_threads(1)
    snapshot = frozen(cast, sample_data / name, "pairs")
    model = save_llama(tmp_path / "model")
    data = hub.load_dataset(snapshot.path, cache_dir=str(tmp_path / "cache"))
    trainer = RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=data["train"],
        eval_dataset=data["test"],
        args=RewardConfig(
            output_dir=str(tmp_path / "out"),
            max_length=8192,  # TRL leaves longer rows out; here none is
            max_steps=2,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
        ),
    )
    done = trainer.train()
    assert done.global_step == 2 and done.training_loss > 0
    assert len(trainer.train_dataset) == snapshot.counts["train"], "every row was taken"
    found = trainer.evaluate()
    assert 0 <= found.get("eval_accuracy", 9) <= 1, found
