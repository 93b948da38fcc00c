"""What each rule of a selection may be, with the words that pages and refusals have. Pure."""

from exports.preferences import MODES

ANSWER_CLASSES: dict[str, str] = {
    "written": "written here",
    "corrected": "corrected here (a correction supersedes its original)",
    "imported": "imported",
    "model": "by a model",
}
MARGINS: dict[str, str] = {
    "none": "no margin",
    "strength": "the strength that annotators gave (mean)",
    "places": "places between the two in the ranking (mean)",
    "table": "the strength that annotators gave, by the table below (mean)",
}
REVIEWS: dict[str, str] = {
    "any": "all that is not returned",
    "passed": "nothing that waits for a review",
    "accepted": "only what a reviewer accepted or fixed",
}
VOTES: dict[str, str] = {
    "majority": "the majority, pair by pair",
    "weighted": "the majority, weighted by how often each agrees with the others",
    "borda": "the mean place in the rankings (Borda)",
    "bradley_terry": "strengths from all comparisons (Bradley-Terry)",
    "best_annotator": "who agrees most often with the others",
}
RATINGS_BY: dict[str, str] = {
    "mean": "the mean",
    "majority": "what most say",
    "weighted": "what most say, weighted by how often each agrees with the others",
    "max": "the highest",
    "min": "the lowest",
    "best_annotator": "who agrees most often with the others",
}
LABELS_BY: dict[str, str] = {
    "majority": "what most say",
    "weighted": "what most say, weighted by how often each agrees with the others",
    "dawid_skene": "the likeliest, by how reliable each turns out (Dawid-Skene)",
    "best_annotator": "who agrees most often with the others",
}
LABEL_TEXTS: dict[str, str] = {
    "prompt": "the prompt",
    "answer": "the answer",
    "both": "the prompt and the answer",
}
PERSONAL: dict[str, str] = {
    "email": "e-mail addresses",
    "phone": "phone numbers",
    "card": "card numbers",
    "ip": "IP addresses",
    "iban": "bank accounts (IBAN)",
}

CHOICES: dict[str, dict[str, str]] = {
    "review": REVIEWS,
    "rating_by": RATINGS_BY,
    "pairs": MODES,
    "votes": VOTES,
    "margin": MARGINS,
    "label_by": LABELS_BY,
    "label_text": LABEL_TEXTS,
    "unsure_language": {"keep": "keep them", "drop": "leave them out"},
    "personal": {
        "keep": "keep the row as it is",
        "mask": "put [EMAIL] and the like in its place",
        "drop": "leave the row out",
    },
}
RANGES: dict[str, tuple[type, float, float]] = {
    "min_agreement": (int, 0, 100),
    "min_raters": (int, 1, 100),
    "min_strength": (int, 0, 4),
    "min_length": (int, 0, 1_000_000),
    "max_length": (int, 0, 10_000_000),
    "near": (int, 0, 100),
    "near_test": (int, 0, 100),
    "not_in_words": (int, 5, 50),
    "max_per_prompt": (int, 0, 1_000),
    "max_annotator": (int, 0, 100),
    "max_longer": (int, 0, 100),
    "test": (float, 0, 90),
    "validation": (float, 0, 90),
}
