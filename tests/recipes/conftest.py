"""Tiny models, snapshots and run directories, made on the spot. Nothing is downloaded."""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from exports import chat, formats
from training.recipes.configs import RECIPES
from training.recipes.entry import perform
from training.recipes.reporting import Reporter
from training.recipes.run_dir import RunDir

SENTENCES = [
    "The printer on the second floor is out of paper again, says the desk.",
    "A parcel that was sent on Monday should arrive before the end of the week.",
    "Water boils at a lower temperature on a high mountain, as the air is thinner.",
    "Please restart the device, wait for half a minute, and try to connect once more.",
    "The moon does not shine by itself; it reflects the light of the sun.",
    "Your refund is on its way and takes three to five working days. Good, bad, yes, no.",
]
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BERT = ("[CLS]", "[SEP]", "[PAD]")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.recipe)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are compared bit by bit, and sums depend on how many threads make them. A run in this
    process must not keep its hand on the tests' SIGTERM."""
    torch.set_num_threads(1)
    monkeypatch.setattr(RunDir, "catch_sigterm", lambda self: None)


def make_tokenizer(special: tuple[str, ...] = CHAT, **more: Any) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens, trained on our sentences."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **more)


def chat_tokenizer(template: str | None = chat.CHATML) -> PreTrainedTokenizerFast:
    """As SmolLM2's: the end of a turn is eos and, as it comes, pad too."""
    tokenizer = make_tokenizer(
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|endoftext|>"],
    )
    tokenizer.chat_template = template
    return tokenizer


def save_llama(folder: Path, template: str | None = chat.CHATML, seed: int = 0) -> Path:
    tokenizer = chat_tokenizer(template)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 70,000 random weights whose tokenizer has a chatml template."""
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def bare_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a chat template."""
    return save_llama(tmp_path_factory.mktemp("bare"), template=None)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT: no eos, no template, texts between [CLS] and [SEP]."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = make_tokenizer(BERT, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=256,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def user(text: str) -> list[formats.Message]:
    return [{"role": "user", "content": text}]


def sft_rows(count: int) -> list[Any]:
    """Rows whose answers are our sentences, told apart by a number in the question."""
    return [
        formats.sft(user(f"Question {i}?"), SENTENCES[i % len(SENTENCES)]) for i in range(count)
    ]


def preference_rows(count: int) -> list[Any]:
    """Pairs that a rule separates: the better answer says yes, the worse one no."""
    return [
        formats.preference(user(f"Question {i}?"), "Good, yes.", "Bad, no.") for i in range(count)
    ]


def write_snapshot(folder: Path, kind: str, **splits: Sequence[Any]) -> Path:
    """A snapshot's data as exports writes it: one Parquet file a split."""
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        if rows:
            table = pa.Table.from_pylist(list(rows), formats.schema(kind))
            pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="session")
def sft_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = sft_rows(16)
    return write_snapshot(
        tmp_path_factory.mktemp("sft"),
        "sft",
        train=rows[:10],
        validation=rows[10:13],
        test=rows[13:],
    )


@pytest.fixture(scope="session")
def preference_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = preference_rows(24)
    return write_snapshot(
        tmp_path_factory.mktemp("pairs"),
        "preference",
        train=rows[:16],
        validation=rows[16:20],
        test=rows[20:],
    )


def open_run(
    folder: Path,
    recipe: str,
    inputs: dict[str, Path | str],
    template: dict[str, str] | None = None,
    **config: Any,
) -> RunDir:
    """A run directory with its spec.json; the same folder again is opened as a later start is."""
    folder.mkdir(exist_ok=True)
    values = {"max_length": 64, "sample_tokens": 4, "batch_size": 2, "warmup": 0.0}
    known = RECIPES[recipe].config.__dataclass_fields__
    spec = {
        "run": 1,
        "attempt": 1,
        "recipe": recipe,
        "config": {k: v for k, v in values.items() if k in known} | config,
        "seed": 0,
        "inputs": [
            {"name": n, "kind": {"init": "adapter"}.get(n, n), "path": str(p), "sha256": ""}
            for n, p in inputs.items()
        ],
        "template": template or {"name": "model", "text": ""},
        "versions": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return RunDir(folder)


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., RunDir]]:
    """`make_run("sft", {"model": path, "snapshot": path}, max_steps=3)`, below tmp_path."""
    opened = []

    def make(recipe: str, inputs: dict[str, Any], name: str = "run", **more: Any) -> RunDir:
        opened.append(open_run(tmp_path / name, recipe, inputs, **more))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


@pytest.fixture
def stop_and_resume(
    make_run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """`stop_and_resume("dpo", inputs, at=2, max_steps=6)` holds that a run which is asked to stop
    in the step behind `at`, and goes on, leaves what one does that nobody asked."""

    def holds(recipe: str, inputs: dict[str, Any], at: int = 2, **config: Any) -> None:
        def work(run: RunDir) -> RunDir:
            train = import_module(f"training.recipes.{recipe}").train
            assert perform(recipe, train, run) == 0, result_of(run)
            return run

        def stops(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == at:
                (run.path / "stop").touch()

        config = {"save_steps": 100, "lora_dropout": 0.1, "lora_rank": 4} | config
        straight = work(make_run(recipe, inputs, "straight", **config))
        run = make_run(recipe, inputs, **config)
        with monkeypatch.context() as patched:
            patched.setattr(Reporter, "on_step_begin", stops)
            assert result_of(work(run))["state"] == "stopped"
        (run.path / "stop").unlink()
        work(make_run(recipe, inputs, **config))
        mine, theirs = (
            load_file(r.artifact / "adapter_model.safetensors") for r in (run, straight)
        )
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
        assert result_of(run)["metrics"] == result_of(straight)["metrics"]

    return holds


def result_of(run: RunDir) -> dict[str, Any]:
    return json.loads((run.path / "result.json").read_text("utf-8"))


def events_of(run: RunDir, kind: str) -> list[dict[str, Any]]:
    lines = run.events_path.read_text("utf-8").splitlines()
    return [
        event for line in lines if line for event in [json.loads(line)] if event["kind"] == kind
    ]
