"""What a PPO run does besides learning: looks at validation prompts, keeps the best, ends early,
stops at an alarm, takes a rule for a judge; and that a resume changes none of it."""

import json

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from tests.recipes import ppo_toys as toys  # noqa: E402
from tests.recipes.conftest import SENTENCES, events_of, result_of, user, write_snapshot  # noqa: E402
from tests.recipes.test_ppo_run import work  # noqa: E402
from training.recipes import ppo, ppo_rollout, ppo_score  # noqa: E402
from training.recipes.alarms import Watch  # noqa: E402
from training.recipes.ppo_rollout import Actor, Prompt  # noqa: E402
from training.recipes.ppo_state import State  # noqa: E402

pytestmark = pytest.mark.recipe


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """As other runs', with validation prompts."""
    folder = tmp_path_factory.mktemp("store")
    rows = [{"prompt": user(text)} for text in [*SENTENCES, "Why?", "How?", "When?"]]
    write_snapshot(
        folder / "snapshot", "prompts", train=rows[:5], validation=rows[5:7], test=rows[7:]
    )
    return folder


def judged_as(monkeypatch, *values):
    """Looks at the validation prompts find these objectives, one after another; the weights that
    each of them saw. The first and the last call are the test prompts', before and after."""
    right, seen = ppo.evaluate, []

    def found(actor, prompts, score, config, *more):
        numbers = right(actor, prompts, score, config, *more)
        if more:  # the measurement before and after, which can be stopped
            return numbers
        seen.append({n: p.detach().clone() for n, p in actor.trainable().items()})
        return numbers | {"objective": values[len(seen) - 1]}

    monkeypatch.setattr(ppo, "evaluate", found)
    return seen


def left_by(run):
    head = load_file(run.artifact / "value_head.safetensors")["weight"]
    adapter = load_file(run.artifact / "adapter_model.safetensors")
    return {n.replace(".weight", ".default.weight"): w for n, w in adapter.items()} | {
        "value_head.weight": head
    }


@pytest.mark.parametrize(("keep", "step", "value"), [("best", 4, 3.0), ("last", 6, None)])
def test_the_best_look_is_kept_or_the_last_weights(store, tmp_path, monkeypatch, keep, step, value):
    seen = judged_as(monkeypatch, 1.0, 3.0, 2.0)
    run = toys.make_run(tmp_path / "run", store, eval_steps=2, keep=keep)
    assert work(run) == 0, result_of(run)
    result, wanted = result_of(run), seen[step // 2 - 1]
    metric = "eval_objective" if value else ""
    assert result["kept"] == {"step": step, "metric": metric, "value": value}
    assert result["steps"] == 6 and len(seen) == 3
    left = left_by(run)
    assert left.keys() <= wanted.keys() and len(left) == len(wanted) - 1  # the head's bias
    assert all(torch.equal(weight, wanted[name]) for name, weight in left.items())
    assert any((seen[0][n] != seen[2][n]).any() for n in left)
    looks = [e for e in events_of(run, "metrics") if "eval_objective" in e["values"]]
    assert [e["step"] for e in looks] == [2, 4, 6]


def test_out_of_patience_it_ends_and_a_later_start_knows_that_it_had(store, tmp_path, monkeypatch):
    judged_as(monkeypatch, 3.0, 2.0, 1.0, 4.0)
    run = toys.make_run(tmp_path / "run", store, eval_steps=1, patience=2, save_steps=9)
    assert work(run) == 0, result_of(run)
    result = result_of(run)
    assert (result["steps"], result["kept"]["step"]) == (3, 1)
    assert "since that at update 1 (objective 3) was better" in result["reason"]
    once = toys.digest(run)
    assert work(run) == 0
    assert toys.digest(run) == once
    assert result_of(run)["steps"] == 3


def test_patience_counts_looks_since_the_best():
    state = State(0.1, 5, [(1, 2.0), (2, 3.0), (3, 2.5), (4, 3.0)])
    assert state.is_over(2) and not state.is_over(3) and not state.is_over(0)
    assert not State(0.1).is_over(1)


class Killed(BaseException):
    """What a recipe cannot catch."""


def test_killed_between_a_look_and_a_checkpoint_it_keeps_what_it_would_have_kept(
    store, tmp_path, monkeypatch
):
    runs = [
        toys.make_run(tmp_path / name, store, eval_steps=1, save_steps=3, kl_target=0.5)
        for name in ("straight", "killed")
    ]
    assert work(runs[0]) == 0, result_of(runs[0])
    right = ppo.learn
    with monkeypatch.context() as patch:

        def killed(*args):
            if args[4] == 4:
                raise Killed
            return right(*args)

        patch.setattr(ppo, "learn", killed)
        with pytest.raises(Killed):
            work(runs[1])
    assert work(runs[1]) == 0
    assert events_of(runs[1], "state")[-1]["step"] == 3
    assert toys.digest(runs[0]) == toys.digest(runs[1])
    for key in ("kept", "metrics", "kl_coef"):
        assert result_of(runs[0])[key] == result_of(runs[1])[key]
    states = [json.loads((r.checkpoints / "step-6" / "state.json").read_text()) for r in runs]
    assert states[0] == states[1] and len(states[0]["looks"]) == 6


def test_an_alarm_that_stops_leaves_a_checkpoint_and_its_sentence(store, tmp_path, monkeypatch):
    monkeypatch.setattr(Watch, "look", lambda self, step, values: "Too far." if step == 3 else "")
    run = toys.make_run(tmp_path / "run", store, save_steps=9)
    assert work(run) == 1
    assert result_of(run)["reason"] == "Too far."
    assert [path.name for path in run.checkpoints.glob("step-*")] == ["step-3"]


def test_a_loss_that_is_no_number_is_an_alarm(store, tmp_path, monkeypatch):
    monkeypatch.setattr(ppo.ppo_math, "whiten", lambda x, mask: x * torch.inf)
    run = toys.make_run(tmp_path / "run", store)
    assert work(run) == 1
    assert [e["code"] for e in events_of(run, "alarm")] == ["not_finite"]
    assert "diverged" in result_of(run)["reason"]


# Judges


def without_reward(run):
    spec = run.spec | {"inputs": [row for row in run.spec["inputs"] if row["name"] != "reward"]}
    (run.path / "spec.json").write_text(json.dumps(spec))


def test_a_rule_stands_in_for_a_reward_model(store, tmp_path):
    rule = {"rule": "length", "rule_value": "1-1", "rule_weight": 3.0}
    run = toys.make_run(tmp_path / "run", store, steps=2, **rule)
    without_reward(run)
    assert work(run) == 0, result_of(run)
    rewards = [e["values"]["reward"] for e in events_of(run, "metrics")]
    assert all(0 < r <= 3 for r in rewards)


def test_without_a_judge_it_says_what_is_missing(store, tmp_path):
    run = toys.make_run(tmp_path / "run", store)
    without_reward(run)
    assert work(run) == 1
    assert "give a reward run (the input `reward`), a rule" in result_of(run)["reason"]


def test_a_rule_whose_value_is_none_is_refused_before_anything_is_loaded(store, tmp_path):
    run = toys.make_run(tmp_path / "run", store, rule="regex", rule_value="(")
    assert work(run) == 1
    assert "cannot be read" in result_of(run)["reason"]
    assert not (run.path / "before.json").exists()


def test_judges_add_up_and_read_the_answer_without_special_tokens():
    class Words:
        def batch_decode(self, rows, skip_special_tokens):
            assert skip_special_tokens
            return [" " + " ".join("abc"[i] for i in row) + " " for row in rows]

    seen = []

    def model(prompts, texts):
        seen.extend(texts)
        return torch.tensor([0.5, -1.0])

    rule = ppo_score.by_rule(lambda texts: [float(text == "a b") for text in texts], 2.0)
    score = ppo_score.text_score([model, rule], Words())
    assert score([Prompt([1])] * 2, [[0, 1], [2]]).tolist() == [2.5, -1.0]
    assert seen == ["a b", "c"]


# Memory


def test_activation_checkpointing_computes_each_layer_twice_and_changes_nothing():
    ended, calls = [], []
    for on in (False, True):
        actor = Actor.of(toys.causal(16, scale=10.0), pad=0, stops=[1])
        if on:
            actor.model.activation_checkpointing_enable()
        settings = toys.config(steps=1, max_new_tokens=4, ppo_epochs=1, batch_size=4)
        experience = ppo.collect(
            actor,
            [Prompt([3, 5]), Prompt([4])],
            lambda prompts, answers: torch.tensor([1.0, -1.0]),
            settings,
            0.1,
            torch.Generator().manual_seed(0),
        )
        count = []
        # The first part of a layer: the second time ends once all that is needed is there.
        first = actor.model.model.layers[0].self_attn
        first.register_forward_hook(lambda *_, c=count: c.append(1))
        ppo.learn(actor, experience, toys.optimizer_of(actor), settings, 0)
        calls.append(len(count))
        ended.append(torch.cat([p.detach().flatten() for p in actor.trainable().values()]))
        count.clear()
        ppo_rollout.read_all(actor, actor.model, experience.rollout, 1.0, 4)
        assert len(count) == 1
    assert calls == [1, 2]
    assert torch.equal(*ended)
