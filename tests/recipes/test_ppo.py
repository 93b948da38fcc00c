"""PPO on toy models: what is sampled, what moves, and that it reaches known optima."""

import random

import pytest

torch = pytest.importorskip("torch")

from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForSequenceClassification  # noqa: E402

from exports import chat  # noqa: E402
from tests.recipes import ppo_toys as toys  # noqa: E402
from tests.recipes.conftest import chat_tokenizer  # noqa: E402
from training.recipes import ppo, ppo_math, ppo_rollout, ppo_score  # noqa: E402
from training.recipes.data import Encoder  # noqa: E402
from training.recipes.loading import Reward  # noqa: E402
from training.recipes.ppo_rollout import Actor, Prompt  # noqa: E402

pytestmark = pytest.mark.recipe

PROMPTS = [Prompt([3, 5, 7]), Prompt([4]), Prompt([6, 2, 9, 8, 3]), Prompt([1, 1])]


def lora(model, name="default", seed=0):
    """An adapter that is not at zero, as one that was trained."""
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config, adapter_name=name)


def actor_of(kind="full", *, pad=0, stops=(1,), scale=10.0):
    model = toys.causal(16, scale=scale)
    if kind == "full":
        return Actor.of(model, pad=pad, stops=list(stops))
    model = lora(model)
    if kind == "adapter":
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
        model.add_adapter(ppo.REFERENCE, model.peft_config["default"])
        copied = {n: w for n, w in model.named_parameters() if ".default." in n}
        for name, weight in model.named_parameters():
            if f".{ppo.REFERENCE}." in name:
                weight.data.copy_(copied[name.replace(f".{ppo.REFERENCE}.", ".default.")])
                weight.requires_grad_(False)
        return Actor.of(model, pad=pad, stops=list(stops), adapter=ppo.REFERENCE)
    return Actor.of(model, pad=pad, stops=list(stops))


def sampled(actor, prompts=PROMPTS, max_new=8, seed=0, at_once=4, temperature=1.0):
    return ppo_rollout.answer(
        actor,
        prompts,
        max_new=max_new,
        temperature=temperature,
        generator=torch.Generator().manual_seed(seed),
        at_once=at_once,
    )


def evens(prompts, answers):
    """The share of an answer's tokens that are even."""
    return torch.tensor([sum(t % 2 == 0 for t in a) / len(a) for a in answers])


# What is sampled


def test_an_answer_ends_with_its_end_token_and_knows_whether_it_has_one():
    rollout = sampled(actor_of(stops=(1, 5)), PROMPTS * 8, at_once=5)
    assert {True, False} == set(rollout.ended.tolist())
    for answer, ended in zip(rollout.answers, rollout.ended.tolist(), strict=True):
        assert [t in (1, 5) for t in answer] == [False] * (len(answer) - 1) + [ended]
        assert ended or len(answer) == 8
    assert (rollout.log_probs[~rollout.mask] == 0).all()
    assert (rollout.tokens[~rollout.mask] == 0).all()


def test_an_end_token_in_the_prompt_ends_no_answer():
    """As in `<|im_end|>` after each turn of a prompt: the penalty must fire all the same."""
    actor = actor_of(stops=(1,))
    with torch.no_grad():
        actor.model.lm_head.weight[1] = 0
        actor.model.lm_head.weight *= 30  # the end token is never the likely one
    rollout = sampled(actor, [Prompt([1, 3, 1]), Prompt([1])], max_new=4)
    assert not rollout.ended.any() and rollout.lengths.tolist() == [4, 4]
    assert ppo_math.penalise(torch.zeros(2), rollout.ended, 1.0).tolist() == [-1.0, -1.0]


def test_the_end_token_counts_where_it_is_the_pad_too():
    """Lengths come from sampling: the same draws, whatever fills up behind them."""
    apart, same = (sampled(actor_of(pad=pad), PROMPTS * 4) for pad in (0, 1))
    assert apart.ended.any()
    assert apart.answers == same.answers
    assert apart.lengths.tolist() == same.lengths.tolist()
    torch.testing.assert_close(apart.log_probs, same.log_probs)
    first = int(apart.ended.nonzero()[0])
    assert same.answers[first][-1] == 1 and same.mask[first].sum() == len(same.answers[first])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_padding_and_cache_do_not_change_what_is_thought_of_an_answer(temperature):
    """What was seen while sampling, padded and cached, against each row read alone and whole."""
    actor = actor_of()
    rollout = sampled(actor, temperature=temperature)
    for i, (prompt, answer) in enumerate(zip(PROMPTS, rollout.answers, strict=True)):
        with torch.no_grad():
            logits = actor.model(torch.tensor([prompt.ids + answer])).logits[0]
        places = range(len(prompt.ids) - 1, len(prompt.ids) + len(answer) - 1)
        log_p = (logits / temperature).log_softmax(-1)
        alone = torch.stack([log_p[at, t] for at, t in zip(places, answer, strict=True)])
        torch.testing.assert_close(rollout.log_probs[i, : len(answer)], alone, atol=2e-5, rtol=0)


def test_positions_are_counted_from_the_first_real_token():
    """Llama only knows distances; a model that learned places would notice padding on its left."""
    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=16, n_embd=32, n_layer=2, n_head=2, n_positions=32)
    model = GPT2LMHeadModel(shape)
    torch.nn.init.normal_(model.transformer.wpe.weight)
    actor = Actor.of(model, pad=0, stops=[1])
    together = sampled(actor)
    for i, answer in enumerate(together.answers):
        alone = ppo_rollout.read(actor, model, together, [i], 1.0)[0]
        torch.testing.assert_close(
            together.log_probs[i, : len(answer)], alone[0], atol=2e-5, rtol=0
        )


def test_values_are_those_of_the_state_before_the_token():
    actor = actor_of()
    torch.nn.init.normal_(actor.head.weight)
    rollout = sampled(actor)
    _, values = ppo_rollout.read_all(actor, actor.model, rollout, 1.0, 2)
    torch.testing.assert_close(rollout.values, values, atol=2e-5, rtol=0)
    with torch.no_grad():
        whole = torch.tensor([PROMPTS[0].ids + rollout.answers[0]])
        hidden = actor.model.model(whole).last_hidden_state[0, len(PROMPTS[0].ids) - 1]
        expected = actor.head(hidden).item()
    assert rollout.values[0, 0].item() == pytest.approx(expected, abs=1e-5)


# What moves


@pytest.mark.parametrize("kind", ["full", "lora", "adapter"])
def test_before_the_first_step_kl_is_0_and_the_ratio_1(kind):
    actor = actor_of(kind)
    settings = toys.config(max_new_tokens=8, ppo_epochs=1, batch_size=2)
    generator = torch.Generator().manual_seed(0)
    experience = ppo.collect(actor, PROMPTS, evens, settings, 0.1, generator)
    assert (experience.rollout.log_probs - experience.reference).abs().max() < 1e-5
    assert experience.kl == pytest.approx(0, abs=1e-5)
    still = torch.optim.SGD(actor.trainable().values(), lr=0.0)
    losses = ppo.learn(actor, experience, still, settings, 0)
    assert losses["ratio"] == pytest.approx(1, abs=1e-5)
    assert losses["clip_share"] == 0


def test_the_bare_base_is_another_reference_than_the_sft_adapter():
    """The negative control of the one above: what kl would be against the wrong reference."""
    actor = actor_of("adapter")
    actor.adapter = None
    settings = toys.config(max_new_tokens=8, batch_size=2)
    generator = torch.Generator().manual_seed(0)
    assert ppo.collect(actor, PROMPTS, evens, settings, 0.1, generator).kl > 0.1


@pytest.mark.parametrize("kind", ["full", "lora", "adapter"])
def test_only_what_is_trainable_moves_and_all_of_it_does(kind):
    actor = actor_of(kind)
    trainable = actor.trainable()
    kept = {n: p.clone() for n, p in actor.model.named_parameters() if n not in trainable}
    if actor.frozen is not None:
        kept = {n: p.clone() for n, p in actor.frozen.named_parameters()}
    moved = {n: p.detach().clone() for n, p in trainable.items()}
    reference = sampled_by_the_reference(actor)
    settings = toys.config(
        steps=3, max_new_tokens=6, batch_size=2, learning_rate=0.01, schedule="constant"
    )
    toys.improve(actor, PROMPTS, evens, settings)
    assert kept
    after = dict((actor.frozen or actor.model).named_parameters())
    assert all(torch.equal(kept[n], after[n]) for n in kept)
    assert actor.trainable().keys() == trainable.keys()
    assert [n for n, p in actor.trainable().items() if torch.equal(p, moved[n])] == []
    assert torch.equal(reference, sampled_by_the_reference(actor))


def sampled_by_the_reference(actor):
    with torch.no_grad(), actor.reference() as model:
        return model(torch.tensor([[3, 5, 7]])).logits.clone()


def test_how_a_mini_batch_is_cut_for_the_device_does_not_change_the_update():
    """A mean per device batch would weigh the tokens of short answers more."""
    ended = []
    for cut in ({"batch_size": 4}, {"batch_size": 1, "accumulation": 4}):
        actor = actor_of(stops=(1, 5, 8, 9))
        settings = toys.config(steps=1, max_new_tokens=8, **cut)
        experience = ppo.collect(
            actor, PROMPTS, evens, settings, 0.1, torch.Generator().manual_seed(2)
        )
        assert len(set(experience.rollout.lengths.tolist())) > 1
        step = torch.optim.SGD(actor.trainable().values(), lr=0.1)
        ppo.learn(actor, experience, step, settings, 0)
        ended.append(torch.cat([p.detach().flatten() for p in actor.trainable().values()]))
    # How many rows are sampled at once rounds in the seventh digit, too.
    torch.testing.assert_close(ended[0], ended[1], atol=2e-6, rtol=0)


def test_adapter_dropout_acts_in_updates_only():
    actor = actor_of("lora")
    names = [n for n, m in actor.model.named_modules() if "lora_dropout" in n]
    modules = dict(actor.model.named_modules())
    assert names
    actor.learning(True)
    assert all(modules[n].training for n in names)
    others = [m for n, m in modules.items() if "lora_dropout" not in n]
    assert not any(m.training for m in others)
    actor.learning(False)
    assert not any(m.training for m in modules.values())


def test_a_loss_that_is_no_number_is_refused_before_it_reaches_the_weights():
    actor = actor_of()
    settings = toys.config(steps=1, max_new_tokens=4)
    experience = ppo.collect(actor, PROMPTS, evens, settings, 0.1, torch.Generator().manual_seed(0))
    experience.advantages[0, 0] = torch.inf
    before = {n: p.detach().clone() for n, p in actor.trainable().items()}
    with pytest.raises(ValueError, match="diverged"):
        ppo.learn(actor, experience, toys.optimizer_of(actor), settings, 0)
    assert all(torch.equal(p, before[n]) for n, p in actor.trainable().items())


def first_update(offset):
    """The policy after one update whose scores are all `offset` higher, and its value head's bias
    as that update began."""
    actor, began = actor_of(stops=(1, 5, 8, 9)), []
    settings = toys.config(steps=1, max_new_tokens=8, missing_eos_penalty=1.0, learning_rate=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        right = ppo.learn
        patch.setattr(ppo, "learn", lambda *a: began.append(actor.head.bias.item()) or right(*a))
        toys.improve(actor, PROMPTS, lambda p, a: evens(p, a) + offset, settings)
    return torch.cat([p.detach().flatten() for p in actor.model.parameters()]), began[0]


def test_where_all_scores_are_higher_alike_the_policy_learns_the_same():
    """From a value of zero it would learn how far a token is from the end of its answer."""
    policy, began = first_update(0.0)
    higher, began_higher = first_update(7.0)
    assert began_higher - began == pytest.approx(7.0, abs=1e-5)
    torch.testing.assert_close(higher, policy, atol=1e-4, rtol=0)  # a step is 1e-3


def test_warm_up_counts_updates_and_an_update_has_one_rate():
    settings = toys.config(
        steps=4, max_new_tokens=2, warmup=0.5, learning_rate=0.1, ppo_epochs=2, batch_size=2
    )
    actor, rates = actor_of(), []
    optimizer = torch.optim.SGD(actor.trainable().values())
    optimizer.register_step_post_hook(lambda sgd, *_: rates.append(sgd.param_groups[0]["lr"]))
    for step in range(settings.steps):
        generator = torch.Generator().manual_seed(step)
        ppo.update(actor, PROMPTS, evens, optimizer, settings, step, 0.1, generator)
    # Two passes over two mini-batches.
    assert rates == pytest.approx([0.05] * 4 + [0.1] * 4 + [0.1] * 4 + [0.05] * 4)


def test_a_reward_that_is_no_number_is_refused():
    settings = toys.config(steps=1, max_new_tokens=4)
    with pytest.raises(ValueError, match="reward that is no number"):
        toys.improve(actor_of(), PROMPTS, lambda p, a: torch.full((len(a),), torch.nan), settings)


# Text and order


def test_the_reward_reads_text_through_its_own_tokenizer_and_template(tmp_path):
    toys.save_reward(tmp_path / "reward")
    mine, theirs = chat_tokenizer(), toys.letters_tokenizer()
    model = LlamaForSequenceClassification.from_pretrained(tmp_path / "reward").eval()
    reward = Reward(model, theirs, mean=0.5, std=2.0, max_length=96, start=None)
    score = ppo_score.text_score([ppo_score.by_model(reward, 2, lambda: None)], mine)
    messages = [{"role": "user", "content": "red"}]
    prompt = Prompt(Encoder(mine, 64).prompt(messages), messages)
    ids = mine("good<|im_start|> bad<|im_end|>", add_special_tokens=False)["input_ids"]
    short = mine("yes", add_special_tokens=False)["input_ids"]
    found = score([prompt, prompt], [ids, short])
    for answer, value in (("good bad", found[0]), ("yes", found[1])):
        text = chat.render(
            [*messages, {"role": "assistant", "content": answer}],
            chat.INSTRUCTION,
            eos_token="</s>",
        )
        assert text == f"### Instruction:\nred\n\n### Response:\n{answer}</s>"
        alone = theirs(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            raw = model(alone).logits.item()
        assert value.item() == pytest.approx((raw - 0.5) / 2.0, abs=1e-5)


def test_each_pass_is_a_new_order_of_all_prompts():
    seen = [i for step in range(6) for i in ppo.batch_at(9, step, 3, seed=1)]
    assert sorted(seen[:9]) == sorted(seen[9:]) == list(range(9))
    assert seen[:9] != seen[9:]
    assert ppo.batch_at(9, 2, 4, 1) == [*seen[8:12]]  # over the end of a pass
    assert len(ppo.batch_at(2, 0, 5, 1)) == 5  # more than there are


def test_the_order_of_data_is_not_drawn_from_what_others_draw_from():
    random.seed(1)
    first = ppo.order_of.__wrapped__(50, 0, 0)
    random.seed(2)
    assert ppo.order_of.__wrapped__(50, 0, 0) == first


# It learns


def bandit(beta, temperature, wrong=None, steps=100):
    """One-token answers with a known reward each. Returns the total variation between the policy
    and its optimum under the KL penalty, pi* ∝ ref exp(r / beta), before and after."""
    actor = actor_of()
    prompt, reward = [3, 5, 7], torch.rand(16, generator=torch.Generator().manual_seed(100))

    def odds(model):
        with torch.no_grad():
            return (model(torch.tensor([prompt])).logits[0, -1] / temperature).softmax(-1)

    optimum = (odds(actor.frozen).log() + reward / beta).softmax(-1)
    settings = toys.config(
        steps=steps,
        rollout_batch=64,
        batch_size=64,
        max_new_tokens=1,
        temperature=temperature,
        kl_coef=beta,
        learning_rate=1e-3,
        ppo_epochs=4,
        value_coef=0.5,
    )

    def apart():
        return (odds(actor.model) - optimum).abs().sum().item() / 2

    before = apart()
    with pytest.MonkeyPatch.context() as patch:
        if wrong:
            patch.setattr(ppo_math, wrong[0], wrong[1](getattr(ppo_math, wrong[0])))
        toys.improve(
            actor,
            [Prompt(prompt)] * 64,
            lambda _, answers: torch.tensor([reward[a[0]] for a in answers]),
            settings,
        )
    return before, apart()


# Measured: 0.003, 0.001 and 0.002; at beta 0.1 and temperature 2 0.004.
@pytest.mark.parametrize(("beta", "temperature"), [(0.1, 1.0), (0.5, 2.0), (1.0, 1.0)])
def test_a_bandit_reaches_the_optimum_that_is_known_in_closed_form(beta, temperature):
    before, after = bandit(beta, temperature)
    assert before > 0.1
    assert after < 0.03


def by_k3(right):
    """The other estimate of the KL as the penalty, as TRL offers it: ref / p - 1 - log(ref / p)."""

    def rewards(scores, lengths, log_probs, reference, kl_coef):
        apart = (reference - log_probs).expm1() - (reference - log_probs)
        return right(scores, lengths, apart, torch.zeros_like(apart), kl_coef)

    return rewards


WRONG = {
    # Measured after 100 updates: 0.45. It ends on a single token.
    "k3": ("token_rewards", by_k3),
    "kl is a gain": ("token_rewards", lambda right: lambda *a: right(*a[:4], -a[4])),
    # Answers are drawn at one temperature and thought of at another.
    "no temperature": (
        "token_log_probs",
        lambda right: lambda logits, ids, t: right(logits, ids, 1),
    ),
}


@pytest.mark.parametrize(
    ("wrong", "temperature"), [("kl is a gain", 1.0), ("k3", 1.0), ("no temperature", 2.0)]
)
def test_the_bandit_would_notice(wrong, temperature):
    assert bandit(0.1, temperature, WRONG[wrong], steps=50)[1] > 0.1


# An optimum with KL: at 0.005 a nat, 0.95 of the raw reward is worth its price. Measured on five
# seeds: all five, after 25 to 44 updates.
@pytest.mark.parametrize("seed", [0])
def test_it_learns_which_tokens_are_allowed(seed):
    actor = Actor.of(toys.causal(64, seed=seed, hidden=64), pad=0, stops=[1])
    settings = toys.config(
        steps=120,
        rollout_batch=32,
        batch_size=32,
        max_new_tokens=16,
        kl_coef=0.005,
        learning_rate=3e-3,
        ppo_epochs=4,
        value_coef=0.5,
        schedule="constant",
        seed=seed,
    )

    def allowed(_, answers):
        return torch.tensor([sum(2 <= t < 10 for t in a) / len(a) for a in answers])

    found = learn_until(actor, allowed, settings, 0.95)
    assert found[0] < 0.3
    assert sum(found[-3:]) / 3 >= 0.95


def learn_until(actor, score, settings, goal):
    """Mean rewards of the updates until three in a row reach the goal, or the config's steps."""
    optimizer = toys.optimizer_of(actor)
    generator = torch.Generator().manual_seed(settings.seed)
    found = []
    for step in range(settings.steps):
        numbers = ppo.update(
            actor,
            [Prompt([3, 5, 7])] * settings.rollout_batch,
            score,
            optimizer,
            settings,
            step,
            settings.kl_coef,
            generator,
        )[1]
        found.append(numbers["reward"])
        if len(found) >= 3 and sum(found[-3:]) / 3 >= goal:
            break
    return found
