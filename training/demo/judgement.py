"""What others make of the work in the demo: Rui's reviews, Lee's gold and decision, comments, and
who has read the guidelines. Through the product's own acts, like the work itself."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from annotation import (
    activity,
    adjudication,
    comments,
    gold,
    guidelines,
    projects,
    queue,
    reviewing,
    submissions,
)
from annotation.models import (
    Activity,
    Adjudication,
    Comment,
    GuidelineReading,
    GuidelineVersion,
    Item,
    Project,
    Review,
    Stage,
    Submission,
    User,
)
from training.demo.content import Row, Topic

Answer = Callable[[str, Submission], dict[str, Any]]  # (a person's name, their turn) -> content

# {(project, stage): what a lead sets there}; gold: prompts whose best answer is beyond doubt.
SHARES = {("support-desk", "Write"): 100, ("support-desk", "Correct"): 50}
GOLD = {("support-desk", "Rank"): ("support-018", "support-034", "support-037")}
GOLD_EVERY = 4
# Reviews in the stage Write of the support desk, by prompt; what is not named waits in the inbox.
ACCEPTED = tuple(f"support-{n:03}" for n in (1, 2, 3, 4, 6, 7, 8))
RETURNED = {
    "support-013": "Right, and well said. One thing is missing: the invoices that stay still name "
    "the former client. Please say so, or they will be asked about it next."
}
FIXED = {
    "support-012": (
        "so that it can't slip past one inbox.",
        "so that it can't slip past one inbox. I have just sent you the list of what came in "
        "during those three weeks.",
        "One sentence more: the client's payment is what worries them.",
    )
}
# What Lee decided where Ana and Bea did not agree: (project, stage, prompt) -> note.
DECIDED = {
    ("science-tutor", "Rank", "science-012"): "Nobody evolved from a living ape: the answer that "
    "says so first is the better one, even though it is longer."
}
COMMENTS = {
    "support-005": (("Ana", "Could we ask them which page it was? I skipped it."),),
    "science-015": (
        ("Bea", "The second answer tells them how to make chlorine gas."),
        ("Lee", "Thank you. Rank it last for now; I am taking it out of the next dataset."),
    ),
}


def before(stage: Stage, project: str, rows: Mapping[str, Row], lee: User) -> None:
    """What Lee sets up before people begin: how much is reviewed, which items are gold."""
    if share := SHARES.get((project, stage.name)):
        projects.update_stage(stage=stage, review_share=share)
    known = GOLD.get((project, stage.name), ())
    for item in stage.items.filter(prompt__external_id__in=known).select_related("prompt"):
        quality = rows[item.prompt.external_id].quality
        answers = item.prompt.responses.in_bulk(item.candidates).values()
        levels = sorted({quality[answer.text] for answer in answers}, reverse=True)
        order = [[a.pk for a in answers if quality[a.text] == level] for level in levels]
        gold.make_gold(item=item, content={"order": order}, author=lee, note="Beyond doubt")


def answer_gold(stage: Stage, project: str, people: Iterable[User], answer: Answer) -> None:
    """Each of the people has met all gold by now; from here on it comes as it does to everybody.

    One after the other, at each turn: which turns the queue chooses differs from place to place."""
    if (project, stage.name) not in GOLD:
        return
    projects.update_stage(stage=stage, gold_every=1)
    for user in people:
        for _ in GOLD[project, stage.name]:
            turn = queue.claim(stage, user)
            assert turn is not None
            submissions.submit(submission=turn, user=user, content=answer(user.name, turn))
    projects.update_stage(stage=stage, gold_every=GOLD_EVERY)


def review(project: Project, rui: User) -> None:
    """What Rui thinks of what was written; from then on it is ranked and rated, too."""
    turns = Submission.objects.filter(stage__project=project, state="submitted", review="waiting")
    for turn in turns.select_related("item__prompt", "stage").order_by("pk"):
        prompt = turn.item.prompt.external_id
        if turn.stage.kind != Stage.Kind.WRITE:
            continue
        if prompt in ACCEPTED:
            reviewing.accept(submission=turn, reviewer=rui)
        elif prompt in RETURNED:
            reviewing.send_back(submission=turn, reviewer=rui, comment=RETURNED[prompt])
        elif prompt in FIXED:
            old, new, why = FIXED[prompt]
            content = {"text": turn.draft["text"].replace(old, new)}
            reviewing.fix(submission=turn, reviewer=rui, content=content, comment=why)


def decide(project: Project, people: Mapping[str, User]) -> None:
    """What Lee decides in the end, and what was said about it."""
    lee = people["Lee"]
    for (slug, stage, prompt), note in DECIDED.items():
        items = Item.objects.filter(stage__project=project, stage__name=stage, round=1)
        item = items.filter(prompt__external_id=prompt).first()
        if project.slug == slug and item is not None:
            chosen = item.submissions.filter(state="submitted").order_by("pk").first()
            if chosen is not None:
                adjudication.adjudicate(item=item, author=lee, submission=chosen, note=note)
    for prompt, said in COMMENTS.items():
        found = project.prompts.filter(external_id=prompt).first()
        for name, text in said:
            if found is not None:
                comments.add(prompt=found, author=people[name], text=text)


def second_guidelines(project: Project, topic: Topic, people: Mapping[str, User]) -> None:
    """The version in force; Ana and Bea have read it, Caio has not come to it yet."""
    version = projects.add_guidelines(project=project, text=topic.guidelines, author=people["Lee"])
    for name in ("Ana", "Bea", "Rui"):
        guidelines.confirm(version=version, user=people[name])
    activity.note(people["Lee"], "changed the guidelines of", project, "version 2")


def tell_times(project: Project) -> None:
    """A day after the work that they are about, or in the middle of the story."""
    day, now = timedelta(days=1), timezone.now()
    for review in Review.objects.filter(submission__stage__project=project):
        Review.objects.filter(pk=review.pk).update(
            created=min((review.submission.submitted or review.submission.created) + day, now)
        )
    ago = now - 4 * day
    Adjudication.objects.filter(item__stage__project=project).update(created=ago)
    Comment.objects.filter(prompt__project=project).update(created=ago)
    Activity.objects.filter(project=project).update(created=ago)
    versions = GuidelineVersion.objects.filter(project=project, number__gt=1)
    versions.update(created=F("created") + 5 * day)
    GuidelineReading.objects.filter(version__project=project).update(created=ago)
