"""A project whose every text is an attack or an accident; run inside the demo's home."""

import json
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from annotation import (
    adjudication,
    comments,
    importing,
    people,
    projects,
    queue,
    reviewing,
    submissions,
)
from annotation.models import Membership, Project, Prompt, Role, Stage, User, Workspace
from annotation.records import Answer, Record
from exports import datasets, previews

DIRTY = [
    "<script>window.__xss = 1</script>",
    "<img src=x onerror=\"window.__xss = 2\"> <svg onload='window.__xss = 3'>",
    '"><iframe srcdoc="<script>parent.__xss = 4</script>"></iframe>',
    "[click](javascript:window.__xss=5) ![out](https://example.invalid/seen.png)",
    "</textarea></title></script><script>window.__xss = 6</script>",
    "{{ request.user }} {% debug %} ${window.__xss = 7}",
    "right \u202eto left\u202c \u2066isolated\u2069 \u200fmark \u2028line \u2029paragraph",
    "bell\x07 back\x08 esc\x1b[31m del\x7f tag\U000e0041 joiner\u200d zero\u200b bom\ufeff",
    "e" + "\u0301" * 300 + " \U0001f468\u200d\U0001f469\u200d\U0001f467 ﷽ " + "W" * 3000,
]
MEGABYTE = "<b onclick=alert(1)>word</b> " * 33_000


def tell() -> None:
    """Print {"pages": [...], "work": [...], "huge": [...]}: addresses for Olga, who owns it."""
    olga = User.objects.get(email="olga@example.org")
    attack = DIRTY[0] + DIRTY[6]
    workspace = people.create_workspace(name=attack, owner=olga, slug="dirty")
    every = [project(workspace, attack, answers) for answers in (3, 2)]
    stages = [stage for one in every for stage in open_stages(one)]
    huge = project(workspace, "huge", 2, [MEGABYTE])
    kept = datasets.create(
        workspace=workspace, name=attack[:100], kind="sft", user=olga,
        values={"projects": [each.slug for each in every], "answers": ["imported"]},
    )  # fmt: skip
    previews.refresh(dataset=kept)
    previews.compute(kept.pk)
    pages = [reverse("annotation:home") + "?workspace=dirty"]
    for name in ("annotation:workspace", "annotation:people", "exports:datasets", "training:runs"):
        pages.append(reverse(name, args=["dirty"]))
    for name in ("project", "prompts", "guidelines", "project_settings", "imports", "stage_new"):
        pages.append(reverse(f"annotation:{name}", args=[every[0].pk]))
    for name in ("stage", "stage_edit", "rubric_edit", "turns"):
        pages += [reverse(f"annotation:{name}", args=[stage.pk]) for stage in stages[:4]]
    for prompt in every[0].prompts.all():
        pages.append(reverse("annotation:prompt", args=[prompt.pk]))
    pages.append(reverse("annotation:prompt_edit", args=[every[0].prompts.all()[0].pk]))
    pages += [reverse(f"exports:{name}", args=[kept.pk]) for name in ("dataset", "dataset_edit")]
    pages += judged_pages(workspace, olga)
    pages.append(reverse("annotation:activity", args=["dirty"]))
    asked = {"q": attack[:200], "metadata": f"{DIRTY[2]}={DIRTY[4]}", "rater": attack[:200]}
    pages.append(reverse("annotation:prompts", args=[every[0].pk]) + "?" + urlencode(asked))
    big = Prompt.objects.get(project=huge)
    told = {
        "pages": pages,
        "work": [reverse("annotation:work", args=[stage.pk]) for stage in stages],
        "huge": [
            reverse("annotation:prompt", args=[big.pk]),
            reverse("annotation:prompts", args=[huge.pk]),
            *(reverse("annotation:work", args=[stage.pk]) for stage in open_stages(huge)),
        ],
    }
    print(json.dumps(told))


def judged_pages(workspace: Workspace, olga: User) -> list[str]:
    """Dirty work by one with a dirty name, returned, decided and commented with dirty words."""
    name = " ".join(DIRTY[n] for n in (1, 6)).replace("\u2028", "")[:100]
    bad = User.objects.create_user("dirty@example.org", name, "a long password")
    Membership.objects.create(workspace=workspace, user=bad, role=Role.ANNOTATOR)
    made = project(workspace, "judged", 3)
    pages = []
    for stage in open_stages(made, review_share=100):
        turn = queue.claim(stage, bad)
        assert turn is not None
        content: dict[str, Any] = {"text": "\n\n".join([*DIRTY[:7], DIRTY[8]])}
        if stage.kind == "rank":
            content = {"order": [turn.shown], "tags": {}}
        if stage.kind == "rate":
            asked = stage.rubric[0]
            content = {"ratings": {asked["key"]: [asked["options"][0]["value"]]}}
        submissions.submit(submission=turn, user=bad, content=content)
        reviewing.accept(submission=turn, reviewer=olga, comment=DIRTY[6] + DIRTY[0])
        adjudication.adjudicate(
            item=turn.item, author=olga, submission=turn, note=DIRTY[2] + DIRTY[8]
        )
        comments.add(prompt=turn.item.prompt, author=bad, text=" ".join(DIRTY[:7]))
        pages.append(reverse("annotation:review", args=[stage.pk]) + f"?submission={turn.pk}")
        pages.append(reverse("annotation:item", args=[turn.item_id]))
        pages += [reverse(f"annotation:{n}", args=[turn.pk]) for n in ("turn", "review_fix")]
        pages.append(reverse("annotation:item_adjudicate", args=[turn.item_id]))
        pages.append(reverse("annotation:prompt", args=[turn.item.prompt_id]))
        pages.append(reverse("annotation:quality", args=[stage.pk]))
        pages.append(reverse("annotation:person", args=[stage.pk, bad.pk]))
    return [*pages, reverse("annotation:guidelines", args=[made.pk])]


def project(workspace: Workspace, name: str, answers: int, texts: list[str] = DIRTY) -> Project:
    made = projects.create_project(
        workspace=workspace, name=f"{name} {answers}"[:100], description=DIRTY[1],
        guidelines="\n\n".join(DIRTY),
    )  # fmt: skip
    records = [
        Record(
            messages=[{"role": "user", "content": text}],
            external_id=f"{n} <b>'\"" if text in DIRTY else "",
            system=text if text in DIRTY else "",
            context=text if text in DIRTY else "",
            metadata={text[:100]: text[:100]},
            answers=[Answer(f"{text} {k}", author_name=text[:60]) for k in range(answers)],
        )
        for n, text in enumerate(texts)
    ]
    importing.add_records(project=made, records=records, source=f"{name}.jsonl")
    return made


def open_stages(project: Project, **common: Any) -> list[Stage]:
    """One of each kind, all their words dirty."""
    asked: list[dict[str, Any]] = [
        {"key": "", "title": DIRTY[0], "help": DIRTY[1], "type": "labels", "about": "prompt",
         "required": False, "options": [{"value": "", "label": text[:60]} for text in DIRTY[:3]]},
    ]  # fmt: skip
    more: dict[str, dict[str, Any]] = {
        "write": {},
        "correct": {"edit_prompt": True, "tags": [DIRTY[0][:40]]},
        "rank": {"tags": [DIRTY[0][:40]]},
        "rate": {"rate_answers": True},
    }
    return [
        projects.create_stage(
            project=project, kind=kind, name=f"{kind} {DIRTY[0]}", questions=asked,
            instructions="\n\n".join(DIRTY), **options, **common,
        )
        for kind, options in more.items()
    ]  # fmt: skip
