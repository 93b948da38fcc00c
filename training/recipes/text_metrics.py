"""How near answers come to references: BLEU and chrF by sacrebleu, ROUGE-L by rouge-score, and
exact match. All from 0 to 1. Near to one reference is not the same as good: they are read as a
change between two models on the same rows."""

import re
from collections.abc import Sequence

import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

WORD = re.compile(r"\w+")


class _Words:
    """rouge-score's own words are a–z and 0–9 alone: an answer in another script would be empty."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(text.lower())


def text_metrics(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU (corpus, 4-grams, sacrebleu's 13a), chrF (corpus), ROUGE-L (mean F1), and the share of
    answers that are the reference but for white space. {} where there are none."""
    if not answers:
        return {}
    scorer = RougeScorer(["rougeL"], tokenizer=_Words())
    rouge = [
        scorer.score(reference, answer)["rougeL"].fmeasure
        for answer, reference in zip(answers, references, strict=True)
    ]
    same = [a.split() == b.split() for a, b in zip(answers, references, strict=True)]
    said, wanted = list(answers), [list(references)]
    return {
        "bleu": sacrebleu.corpus_bleu(said, wanted).score / 100,
        "chrf": sacrebleu.corpus_chrf(said, wanted).score / 100,
        "rouge_l": sum(rouge) / len(rouge),
        "exact_match": sum(same) / len(same),
    }
