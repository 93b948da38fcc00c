"""What is loaded and what is refused; adapters on their bases; what a run leaves."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from exports import chat
from tests.recipes.conftest import CHAT, chat_tokenizer, make_tokenizer, save_llama
from training.recipes import adapters, artifacts, loading
from training.recipes.configs import parse, to_json
from training.recipes.tokenizer import load_tokenizer, set_pad

SFT = parse("sft", {"lora_rank": 4})


class TestPad:
    def test_a_pad_that_is_the_end_is_replaced_by_a_token_that_is_there(self, llama: Path) -> None:
        tokenizer = load_tokenizer(str(llama))
        assert tokenizer.pad_token == "<|endoftext|>"
        assert len(tokenizer) == len(chat_tokenizer())

    def test_a_pad_of_its_own_stays(self) -> None:
        tokenizer = make_tokenizer((*CHAT, "[PAD]"), eos_token="<|im_end|>", pad_token="[PAD]")
        set_pad(tokenizer)
        assert tokenizer.pad_token == "[PAD]"

    def test_a_token_that_the_template_writes_is_not_taken(self) -> None:
        tokenizer = make_tokenizer((*CHAT, "<spare>"), eos_token="<|im_end|>")
        tokenizer.add_special_tokens({"additional_special_tokens": [*CHAT, "<spare>"]})
        tokenizer.chat_template = chat.CHATML + "<|endoftext|>"
        set_pad(tokenizer)
        assert tokenizer.pad_token == "<spare>"

    def test_without_a_token_to_spare_pad_is_eos(self) -> None:
        tokenizer = make_tokenizer(eos_token="<|im_end|>")
        tokenizer.chat_template = "".join(map(str, tokenizer.get_vocab()))
        set_pad(tokenizer)
        assert tokenizer.pad_token == "<|im_end|>"


class TestTemplate:
    def test_the_runs_template_is_set(self, bare_llama: Path) -> None:
        tokenizer = load_tokenizer(str(bare_llama), {"name": "mine", "text": "{{ 'x' }}"})
        assert tokenizer.chat_template == "{{ 'x' }}"
        assert load_tokenizer(str(bare_llama), {"name": "chatml"}).chat_template == chat.CHATML

    def test_none_at_all_is_refused(self, bare_llama: Path) -> None:
        with pytest.raises(ValueError, match="no chat template of its own"):
            load_tokenizer(str(bare_llama), {"name": "model", "text": ""})


class TestRefusals:
    def test_pickled_weights(self, llama: Path, tmp_path: Path) -> None:
        folder = tmp_path / "pickled"
        shutil.copytree(llama, folder)
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        with pytest.raises(ValueError, match="pickled weights only"):
            loading.load_causal(str(folder), load_tokenizer(str(folder)))

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("/nowhere/at/all", "There is no model folder"),
            ("someone/a-model", "downloads are off"),
        ],
    )
    def test_what_is_not_here(self, name: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            artifacts.check_weights(name)

    def test_the_hub_only_where_it_is_allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        artifacts.check_weights("someone/a-model")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        with pytest.raises(ValueError, match="downloads are off"):
            artifacts.check_weights("someone/a-model")

    def test_a_folder_without_weights(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="holds no weights"):
            artifacts.check_weights(str(tmp_path))
        (tmp_path / "model.gguf").touch()
        with pytest.raises(ValueError, match="convert it first"):
            artifacts.check_weights(str(tmp_path))

    def test_a_classifier_is_no_language_model(self, bert: Path) -> None:
        tokenizer = load_tokenizer(str(bert), {"name": "instruction"})
        with pytest.raises(ValueError, match="is no language model: it lacks"):
            loading.load_causal(str(bert), tokenizer)

    def test_a_tokenizer_that_is_too_large_for_the_model(self, llama: Path) -> None:
        tokenizer = load_tokenizer(str(llama))
        tokenizer.add_tokens([f"<new{i}>" for i in range(5)])
        with pytest.raises(ValueError, match="do not belong together"):
            loading.load_causal(str(llama), tokenizer)


class TestClassifier:
    def test_a_new_head_gives_zero(self, llama: Path) -> None:
        tokenizer = load_tokenizer(str(llama))
        model = loading.load_classifier(str(llama), tokenizer)
        inputs = tokenizer(["Yes.", "Is it good?"], return_tensors="pt", padding=True)
        assert model(**inputs).logits.abs().max() == 0
        assert model.config.pad_token_id == tokenizer.pad_token_id

    def test_a_trained_head_stays(self, llama: Path, tmp_path: Path) -> None:
        tokenizer = load_tokenizer(str(llama))
        model = loading.load_classifier(str(llama), tokenizer)
        torch.nn.init.ones_(model.score.weight)
        model.save_pretrained(tmp_path)
        again = loading.load_classifier(str(tmp_path), tokenizer)
        assert torch.equal(again.score.weight, model.score.weight)


class TestAdapters:
    def test_every_linear_layer_but_the_head(self, llama: Path) -> None:
        model = loading.load_causal(str(llama), load_tokenizer(str(llama)))
        peft = adapters.add_lora(model, SFT)
        trained = {name for name, p in peft.named_parameters() if p.requires_grad}
        assert all(".lora_" in name for name in trained)
        assert len(trained) == 2 * 7 * 2  # A and B, seven linear layers, two blocks
        assert 0 < loading.trainable_share(peft) < 1

    def test_a_classifiers_head_is_trained_whole(self, llama: Path) -> None:
        model = loading.load_classifier(str(llama), load_tokenizer(str(llama)))
        peft = adapters.add_lora(model, SFT, ["score"])
        trained = {name for name, p in peft.named_parameters() if p.requires_grad}
        assert any("score.modules_to_save" in name for name in trained)

    def test_artifact_and_back(self, llama: Path, make_run) -> None:
        run = make_run("sft", {"model": llama})
        start = artifacts.start_of(run)
        tokenizer = load_tokenizer(str(llama))
        peft = adapters.add_lora(loading.load_causal(str(llama), tokenizer), SFT)
        for name, parameter in peft.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        left = artifacts.save_artifact(run, peft, tokenizer, start=start, config=to_json(SFT))
        facts = json.loads((run.artifact / "annotune.json").read_text())
        assert left == {"kind": "adapter", "sha256": artifacts.folder_sha256(run.artifact)}
        assert facts["base"] == {"path": str(llama), "sha256": artifacts.folder_sha256(llama)}
        assert facts["template"]["text"] == chat.CHATML
        assert not list(run.artifact.glob("*.bin"))
        assert load_tokenizer(str(run.artifact)).pad_token == "<|endoftext|>"

        later = artifacts.start_of(make_run("sft", {"model": llama, "init": run.artifact}, "later"))
        again = adapters.attach(loading.load_causal(str(llama), tokenizer), later, trainable=True)
        ids = tokenizer("Is it good?", return_tensors="pt")
        peft.eval(), again.eval()
        assert torch.equal(peft(**ids).logits, again(**ids).logits)
        assert any(p.requires_grad for p in again.parameters())
        frozen = adapters.attach(loading.load_causal(str(llama), tokenizer), later)
        assert not any(p.requires_grad for p in frozen.parameters())

        # Layers of a language model's adapter start a classifier; its head stays new.
        rm = adapters.lora_from_causal(
            loading.load_classifier(str(llama), tokenizer), later, ["score"]
        )
        state, source = rm.state_dict(), peft.state_dict()
        copied = [name for name in state if "lora_B" in name]
        assert copied and all(torch.equal(state[name], source[name]) for name in copied)
        assert rm(**ids).logits.abs().max() == 0

    def test_an_adapter_does_not_go_on_another_base(
        self, llama: Path, tmp_path: Path, make_run
    ) -> None:
        run = make_run("sft", {"model": llama})
        tokenizer = load_tokenizer(str(llama))
        peft = adapters.add_lora(loading.load_causal(str(llama), tokenizer), SFT)
        start = artifacts.start_of(run)
        artifacts.save_artifact(run, peft, tokenizer, start=start, config={})
        other = save_llama(tmp_path / "other", seed=1)
        later = artifacts.start_of(make_run("sft", {"model": other, "init": run.artifact}, "b"))
        with pytest.raises(ValueError, match="trained on other weights"):
            adapters.attach(loading.load_causal(str(other), tokenizer), later)

    def test_an_adapter_that_is_not_whole_is_refused(self, llama: Path, make_run) -> None:
        """peft would fill the gaps with fresh weights, and drop what it has no place for."""
        run = make_run("sft", {"model": llama})
        tokenizer = load_tokenizer(str(llama))
        start = artifacts.start_of(run)
        peft = adapters.add_lora(loading.load_causal(str(llama), tokenizer), SFT)
        artifacts.save_artifact(run, peft, tokenizer, start=start, config={})
        later = artifacts.start_of(make_run("sft", {"model": llama, "init": run.artifact}, "later"))
        file = run.artifact / "adapter_model.safetensors"
        whole = load_file(file)
        name = min(whole)
        for held, said in (
            ({n: w for n, w in whole.items() if n != name}, "is not whole: it lacks .*lora_A"),
            (
                whole | {name.replace("layers.0", "layers.9"): whole[name] + 0},
                "has layers that .* not",
            ),
        ):
            save_file(held, file)
            with pytest.raises(ValueError, match=said):
                adapters.attach(loading.load_causal(str(llama), tokenizer), later, trainable=True)
            classifier = loading.load_classifier(str(llama), tokenizer)
            with pytest.raises(ValueError, match=said):
                adapters.lora_from_causal(classifier, later, ["score"])

    def test_a_reward_adapter_without_its_head_is_refused(self, llama: Path, make_run) -> None:
        run = make_run("reward", {"model": llama})
        tokenizer = load_tokenizer(str(llama))
        start = artifacts.start_of(run)
        model = loading.load_classifier(str(llama), tokenizer)
        peft = adapters.add_lora(model, SFT, ["score"])
        artifacts.save_artifact(run, peft, tokenizer, start=start, config={}, reward={"mean": 1.0})
        file = run.artifact / "adapter_model.safetensors"
        save_file({n: w for n, w in load_file(file).items() if "score" not in n}, file)
        with pytest.raises(ValueError, match=r"is not whole: it lacks .*score\.weight"):
            loading.load_reward(make_run("ppo", {"model": llama, "reward": run.artifact}, "later"))

    def test_a_classifiers_base_without_a_layer_is_refused(self, llama: Path, tmp_path) -> None:
        shutil.copytree(llama, tmp_path / "torn")
        file = tmp_path / "torn" / "model.safetensors"
        save_file(
            {n: w for n, w in load_file(file).items() if "layers.1.mlp.up" not in n},
            file,
            metadata={"format": "pt"},
        )
        with pytest.raises(ValueError, match=r"no whole model: it lacks .*layers\.1\.mlp\.up_proj"):
            loading.load_classifier(str(tmp_path / "torn"), load_tokenizer(str(llama)))

    def test_an_adapter_is_no_base(self, llama: Path, make_run) -> None:
        run = make_run("sft", {"model": llama})
        tokenizer = load_tokenizer(str(llama))
        peft = adapters.add_lora(loading.load_causal(str(llama), tokenizer), SFT)
        start = artifacts.start_of(run)
        artifacts.save_artifact(run, peft, tokenizer, start=start, config={})
        with pytest.raises(ValueError, match="needs its base model"):
            loading.load_causal(str(run.artifact), tokenizer)

    def test_no_reward_run_gives_no_reward(self, llama: Path, make_run) -> None:
        run = make_run("ppo", {"model": llama, "reward": llama, "snapshot": llama})
        with pytest.raises(ValueError, match="left by no reward run"):
            loading.load_reward(run)
