"""Our PPO step against what TRL 1.12.0's trainer made of the same answers, and where our own rules
differ from it. tests/recipes/oracle is made by `python -m benchmarks.ppo_oracle --capture`."""

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from tests.recipes import ppo_trl  # noqa: E402
from tests.recipes.ppo_trl import CASES, END, Conventions, rollout_of, saved  # noqa: E402
from training.recipes import ppo, ppo_math  # noqa: E402

pytestmark = pytest.mark.recipe
AGREED = ("log_prob", "reference", "value", "advantage", "return", "policy_loss", "value_loss")
SOME = "some end early, k1"


@pytest.mark.parametrize("name", CASES)
def test_under_trls_conventions_every_number_is_trls_and_so_are_the_weights(name):
    """Measured: 2e-6 at most, the weights 6e-7."""
    found = ppo_trl.compare(name)
    assert saved(name)[2]["trl"] == "1.12.0"
    assert {key: value for key, value in found.items() if key in AGREED and value > 1e-5} == {}
    assert found["weights"] < 1e-5
    early = {"nobody": range(1), "all": range(8, 9)}.get(name.split()[0], range(2, 8))
    assert found["ended"] in early


@pytest.mark.parametrize("name", CASES)
def test_what_trl_made_is_no_standstill(name):
    """The weights that it left are not those that it began with."""
    actor, _ = ppo_trl.pair(CASES[name])
    after = saved(name)[1]
    moved = [(p - after[n]).abs().max().item() for n, p in actor.trainable().items()]
    assert min(moved) > 1e-5 and max(moved) > 1e-3


WRONG = {
    "kl paid for, not charged": ("token_rewards", lambda f: lambda *a: f(*a[:4], -a[4]), "return"),
    "lambda forgotten": ("gae", lambda f: lambda *a: f(*a[:4], 1.0), "advantage"),
    "no whitening": ("whiten", lambda f: lambda x, mask: x * mask, "advantage"),
    "whitened over padding": ("whiten", lambda f: lambda x, m: f(x, m | True) * m, "advantage"),
    "policy held too early": ("policy_loss", lambda f: lambda *a: f(*a[:4], 1e-3), "weights"),
    "value held too early": ("value_loss", lambda f: lambda *a: f(*a[:4], 1e-3), "value_loss"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_oracle_would_notice(wrong, monkeypatch):
    name, make, seen = WRONG[wrong]
    monkeypatch.setattr(ppo_math, name, make(getattr(ppo_math, name)))
    assert ppo_trl.compare(SOME)[seen] > 1e-4


# Our own rules


@pytest.mark.parametrize("name", ["nobody ends early", "no stop token"])
def test_where_nothing_ends_early_our_own_rules_are_trls(name):
    found = ppo_trl.compare(name)
    assert found["own_advantage"] < 1e-5 and found["own_return"] < 1e-5


def own(name):
    """A case weighed by our rules: the capture, TRL's way of counting, the rollout, and the result.
    Values are read again: TRL keeps none for an end token that is the pad."""
    case, (capture, _, _) = CASES[name], saved(name)
    rollout = rollout_of(case, capture)
    actor, reference = ppo_trl.pair(case)
    heat = ppo_trl.temperature_of(case)
    seen, _ = ppo.read_all(actor, actor.model, rollout, heat, 4)
    before, _ = ppo.read_all(actor, reference, rollout, heat, 4)
    _, values = ppo.read_all(actor, actor.critic, rollout, heat, 4)
    rollout = replace(rollout, log_probs=seen, values=values)
    scores, config = ppo_trl.own_scores(case, capture), ppo_trl.settings(case)
    weighed = ppo.weigh(rollout, before, scores, config, config.kl_coef)
    return capture, Conventions.of(case, capture), rollout, weighed


def test_the_score_falls_on_the_last_real_token_and_trls_on_the_first_pad():
    capture, rules, rollout, found = own(SOME)
    early = (rollout.lengths < rollout.tokens.shape[1]).nonzero().flatten().tolist()
    whole = [i for i in range(8) if i not in early]
    assert early and whole
    torch.testing.assert_close(found.returns[whole], capture.returns[whole], atol=1e-5, rtol=0)
    for i in early:
        last = int(rollout.lengths[i]) - 1
        assert rollout.tokens[i, last] == END
        # What the last token returns is its own price of KL and the score, and nothing later.
        kl = (rollout.log_probs - found.reference)[i, last].item()
        earned = found.penalised[i].item() - 0.05 * kl
        assert found.returns[i, last].item() == pytest.approx(earned, abs=1e-5)
        # TRL's has the score on the slot behind it, so lambda and a value stand between the two.
        assert capture.returns[i, last + 1].item() == pytest.approx(found.penalised[i].item())
        assert abs(capture.returns[i, last].item() - earned) > 1e-3


def test_values_have_the_policys_mask_and_trls_one_slot_more():
    capture, rules, rollout, found = own(SOME)
    assert (found.returns[~rollout.mask] == 0).all()
    slot = rules.longer > rules.lengths
    assert slot.any()
    rows = slot.nonzero().flatten()
    assert (capture.returns[rows, rules.lengths[rows]] != 0).all()


def test_where_the_pad_is_the_end_token_we_learn_to_end_and_trl_does_not():
    capture, rules, rollout, found = own("pad is the end token")
    ended = rollout.ended.nonzero().flatten()
    ends = (ended, rollout.lengths[ended] - 1)
    assert len(ended) > 1 and (rollout.tokens[ends] == END).all()
    assert (capture.advantages[ends] == 0).all() and not rules.mask[ends].any()
    assert (found.advantages[ends] != 0).all()
    new = rollout.log_probs.clone().requires_grad_()
    loss, *_ = ppo_math.policy_loss(new, rollout.log_probs, found.advantages, rollout.mask, 0.2)
    loss.backward()
    assert (new.grad[ends] != 0).all()


def test_k3_is_never_negative_and_means_the_kl():
    # p = (0.5, 0.5), ref = (0.25, 0.75). k3 of a token: ref / p - 1 - ln(ref / p):
    #   0.5 - 1 + ln 2 = 0.1931;   1.5 - 1 - ln 1.5 = 0.0945.   Mean over p: 0.1438 = the KL:
    #   0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75) = 0.3466 - 0.2027.
    p, ref = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    found = ppo_trl.k3(p, ref)
    expected = [0.5 - 1 + math.log(2), 1.5 - 1 - math.log(1.5)]
    torch.testing.assert_close(found, torch.tensor(expected))
    kl = 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)
    assert found.mean().item() == pytest.approx(kl, abs=1e-6)
