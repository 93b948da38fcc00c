"""The rules as fields of a form: in groups by what they ask, each explained in a sentence. Pure."""

from typing import Any

from django import forms

from exports.choices import ANSWER_CLASSES, CHOICES, PERSONAL, RANGES
from exports.formats import KINDS
from exports.rule_words import TITLES

LONG = 20_000  # characters of a field of lines
GROUPS: list[tuple[str, tuple[str, ...]]] = [
    ("", ("name", "kind", "projects")),
    ("Which work", ("stages", "review", "min_raters", "min_agreement", "annotators",
                    "without_annotators", "since", "until", "metadata", "weights")),
    ("Which answers", ("answers", "best_ranked", "best_rated", "ratings")),
    ("Which comparisons", ("pairs", "min_strength", "margin", "margin_table", "include_imported",
                           "corrections_as_pairs", "edited_prompts")),
    ("Which label", ("question", "good", "label_text")),
    ("Several people's words", ("votes", "rating_by", "label_by")),
    ("Texts", ("min_length", "max_length", "languages", "unsure_language", "boilerplate")),
    ("Personal data", ("personal", "personal_kinds")),
    ("Beside the other rows", ("near", "near_test", "near_validation", "not_in", "not_in_words",
                               "max_per_prompt", "max_annotator", "max_longer")),
    ("Shape and splits", ("prompt_template", "test", "validation")),
]  # fmt: skip
# What a group's line says while nothing of it is set.
UNSET = {
    "Which work": "all of it",
    "Which answers": "all of them",
    "Which comparisons": "every better answer against every worse one",
    "Which label": "the thumb that came with the import",
    "Several people's words": "the majority, or the mean",
    "Texts": "of any length, in any language",
    "Personal data": "kept as it is",
    "Beside the other rows": "exact duplicates are left out",
}
HELP = {
    "projects": "Their prompts are read, and all that hangs on them.",
    "weights": "A mix, one a line: support-desk=2 beside science-tutor=1 gives two rows of the "
    "first for each of the second. Empty: as they come.",
    "stages": "None ticked: all of them, also those to come.",
    "review": "Work that a reviewer returned is never in.",
    "min_raters": "What fewer people judged is left out. A lead's decision always counts.",
    "min_agreement": "0: any. Asks for two annotators at least, who agree by this much, as the "
    "stage's quality page last measured it.",
    "annotators": "None ticked: everybody.",
    "without_annotators": "Their work is left out, and their votes do not count.",
    "metadata": "One a line, and all must hold: topic=billing, topic!=spam, score>=3, has topic, "
    "no topic.",
    "answers": "A corrected answer takes the place of its original.",
    "best_ranked": "Prompts that nobody ranked are left out.",
    "best_rated": "Of each prompt the answer with the highest rating.",
    "ratings": "One a line, and all must hold: 7.helpful>=4 asks for 4 or more to the question "
    "“helpful” of stage 7.",
    "rating_by": "What counts where several people rated the same thing.",
    "pairs": "Ties give no pair.",
    "votes": "What counts where several people ranked the same answers. A lead's decision comes "
    "before all.",
    "min_strength": "0: any. Preferences that were given as weaker are left out.",
    "margin": "A column that says by how much the chosen answer is better.",
    "margin_table": "One a line, strength=margin. Read for the margin “by the table” only.",
    "include_imported": "Rankings that came in with a file.",
    "corrections_as_pairs": "Each correction gives a pair, under the prompt as it was corrected.",
    "edited_prompts": "Off: no pair from a correction that touched the prompt itself.",
    "question": "What somebody was asked, or what came with the import.",
    "good": "One a line. Of a rating the least number that is good, e.g. 4. Empty: true, yes and "
    "up are good.",
    "label_by": "What counts where several people labelled the same thing.",
    "label_text": "What stands beside the label in the row.",
    "min_length": "Of the answer; of a pair both. 0: any.",
    "max_length": "0: any.",
    "languages": "None ticked: all. Told from the text, see the counts in the explorer.",
    "unsure_language": "Short texts and code. Asked only where languages are ticked.",
    "boilerplate": "“As an AI language model”, refusals, empty phrases.",
    "personal": "Found by patterns; names are not looked for.",
    "near": "0: off. 85 leaves out a row that shares 85 % of its words in a row with an earlier "
    "one. Exact duplicates are left out always.",
    "near_test": "0: off. A training row whose prompt is this near to a test prompt is left out, "
    "so that the test stays a test.",
    "near_validation": "Training rows near a validation prompt are left out as well, so that "
    "validation does not choose what was learnt by heart; and validation rows near a test prompt.",
    "not_in": "A row that shares a run of words with one of these is left out.",
    "not_in_words": "5 to 50; 13 is what the field uses.",
    "max_per_prompt": "0: any.",
    "max_annotator": "0: any. Rows are left out until nobody made more than this share.",
    "max_longer": "0: as it is. Pairs whose longer answer wins are left out until they are no "
    "more than this share.",
    "prompt_template": "{prompt} and {context} are filled in.",
    "test": "Read only before and after training.",
    "validation": "Chooses the best checkpoint. A conversation stays in its split.",
}
LINES = ("weights", "metadata", "ratings", "good", "margin_table")
TICKS = ("projects", "stages", "annotators", "without_annotators", "languages", "not_in")
ASKED = ("best_rated", "question")  # chosen from the questions that there are
BOOLEANS = ("best_ranked", "include_imported", "corrections_as_pairs", "edited_prompts",
            "boilerplate", "near_validation")  # fmt: skip
EXAMPLES = {
    "weights": "support-desk=2\nscience-tutor=1",
    "metadata": "topic=billing\nscore>=3",
    "ratings": "7.helpful>=4",
    "good": "yes",
    "margin_table": "1=0.5\n2=1",
}


def field(rule: str) -> forms.Field:
    """The field of a rule; who has a workspace fills in the choices of TICKS and ASKED."""
    said: dict[str, Any] = {
        "label": TITLES[rule],
        "required": rule == "projects",
        "help_text": HELP.get(rule, ""),
    }
    if rule in TICKS or rule in ("answers", "personal_kinds"):
        choices = {"answers": ANSWER_CLASSES, "personal_kinds": PERSONAL}.get(rule, {})
        widget = forms.CheckboxSelectMultiple
        return forms.MultipleChoiceField(choices=list(choices.items()), widget=widget, **said)
    if rule in BOOLEANS:
        return forms.BooleanField(**said)
    if rule in ASKED:
        return forms.ChoiceField(**said)
    if rule in CHOICES:
        return forms.ChoiceField(choices=list(CHOICES[rule].items()), **said)
    if rule in RANGES:
        kind, low, high = RANGES[rule]
        ends = {"min": f"{low:g}", "max": f"{high:g}"}
        if kind is int:
            return forms.IntegerField(widget=forms.NumberInput(attrs=ends), **said)
        return forms.FloatField(widget=forms.NumberInput(attrs=ends | {"step": "any"}), **said)
    if rule in ("since", "until"):
        return forms.CharField(
            widget=forms.DateInput(attrs={"type": "date"}), max_length=20, **said
        )
    rows = 4 if rule == "prompt_template" else 3
    area = forms.Textarea(attrs={"rows": rows, "placeholder": EXAMPLES.get(rule, "")})
    return forms.CharField(widget=area, max_length=LONG, strip=rule != "prompt_template", **said)


def kind_field() -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=[(kind, f"{kind}: {text}") for kind, (text, _) in KINDS.items()],
        help_text="Cannot be changed later.",
    )
