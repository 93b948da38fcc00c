"""Whether KTO can learn from the thumbs that there are; preflight and training ask alike."""

from training.recipes.configs import KTOConfig


def check_thumbs(ups: int, downs: int, prompts: int, config: KTOConfig) -> str:
    """A note on the weights where the sides are uneven, else "". `prompts`: different ones. Raises
    ValueError where the rows or the batch are none that KTO can learn from."""
    if not ups or not downs:
        raise ValueError(
            f"All {ups + downs} training rows have a thumb {'up' if ups else 'down'}: KTO learns "
            "from the difference. Take rows of both kinds, or choose SFT for good answers alone."
        )
    if prompts < 2:
        raise ValueError(
            "All training rows answer the same prompt: KTO measures its KL by answers to other "
            "prompts, and there are none."
        )
    if config.batch_size < 2:
        raise ValueError("KTO's KL is the mean over a batch: batch_size must be at least 2.")
    # (8) of the paper: weight times count shall be as much on both sides, ups up to a third more.
    balance = ups * config.desirable_weight / max(downs * config.undesirable_weight, 1e-9)
    if 0.99 <= balance <= 4 / 3 + 0.01:
        return ""
    wanted = downs * config.undesirable_weight / ups
    return (
        f"There are {ups} thumbs up and {downs} down. The paper weighs both sides alike: with "
        f"undesirable_weight {config.undesirable_weight:g} it would have desirable_weight from "
        f"{wanted:.3g} to {wanted * 4 / 3:.3g}, and here it is {config.desirable_weight:g}."
    )
