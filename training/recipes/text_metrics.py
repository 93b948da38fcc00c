"""What is said of answers: how long they are, whether they end, and how near they come to
references: BLEU and chrF by sacrebleu, ROUGE-L, and exact match. All but the length from 0 to 1.
Near to one reference is not the same as good: they are read as a change between two models on the
same rows."""

import re
from collections.abc import Sequence

from training.recipes.evaluation import Answer

WORD = re.compile(r"\w+")


def answer_metrics(answers: Sequence[Answer], references: Sequence[str]) -> dict[str, float]:
    """Mean length in tokens, the share that ends by itself and, where there are references,
    `text_metrics`. {} where there are no answers."""
    if not answers:
        return {}
    found = {
        "length": sum(len(one.ids) for one in answers) / len(answers),
        "eos_share": sum(one.ended for one in answers) / len(answers),
    }
    return found | (text_metrics([a.text for a in answers], references) if references else {})


def text_metrics(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU (corpus, 4-grams, sacrebleu's 13a), chrF (corpus), ROUGE-L (mean F1), and the share of
    answers that are the reference but for white space. {} where there are none."""
    if not answers:
        return {}
    import sacrebleu  # when training is over: what it brings with it is not held while it goes on

    rouge = [rouge_l(a, b) for a, b in zip(answers, references, strict=True)]
    same = [a.split() == b.split() for a, b in zip(answers, references, strict=True)]
    said, wanted = list(answers), [list(references)]
    return {
        "bleu": sacrebleu.corpus_bleu(said, wanted).score / 100,
        "chrf": sacrebleu.corpus_chrf(said, wanted).score / 100,
        "rouge_l": sum(rouge) / len(rouge),
        "exact_match": sum(same) / len(same),
    }


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, of any script. Our own: rouge-score knows a to
    z and digits alone, and brings nltk."""
    said, wanted = WORD.findall(answer.lower()), WORD.findall(reference.lower())
    common = [0] * (len(wanted) + 1)  # of the words said so far and the first i that are wanted
    for word in said:
        before = 0
        for i, other in enumerate(wanted, 1):
            longest = before + 1 if word == other else max(common[i], common[i - 1])
            before, common[i] = common[i], longest
    return 2 * common[-1] / (len(said) + len(wanted)) if said and wanted else 0.0
