"""Every view, who may enter it and how: one row a URL name and method.

tests/test_every_view.py asks each row the same questions and fails for a view without a row.
Add your rows to the list of your app, and to `make_world` what they need."""

from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.utils import timezone

from annotation.models import (
    Action,
    ApiToken,
    ColumnMapping,
    Comment,
    Erasure,
    Import,
    Invitation,
    Item,
    Membership,
    Prompt,
    Response,
    Role,
    Stage,
    Submission,
)
from annotation.models.people import hash_secret
from exports.models import Benchmark, Dataset, Ruleset, RulesetVersion, Snapshot
from training.models import Run


@dataclass(frozen=True)
class View:
    """`args`: attributes of the world, e.g. "project.pk". `who`: page (members of a workspace),
    api (the same, for programs), own (whoever is logged in), program (the same), open (all).
    `least`: the lowest role that may. `ok`: the answers that a permitted request may get."""

    name: str
    args: tuple[str, ...] = ()
    least: str = "annotator"
    method: str = "get"
    who: str = "page"
    ok: tuple[int, ...] = (200, 201, 202, 204, 302, 400, 409, 422)
    data: tuple[tuple[str, Any], ...] = ()
    form: bool = False  # a program that sends a form (a file), not JSON

    def __str__(self) -> str:
        return f"{self.method} {self.name}"


def pages(*names: str, args: tuple[str, ...] = (), **rest: Any) -> list[View]:
    """Rows that differ by name only."""
    return [View(name, args, **rest) for name in names]


def form(name: str, args: tuple[str, ...], least: str) -> list[View]:
    """A page with a form: GET shows it, POST sends it."""
    return [View(name, args, least), View(name, args, least, "post")]


OPEN = [
    View("healthz", who="open"),
    View("schema", who="open"),
    View("api-docs", who="open"),
    View("login", who="open"),
    View("login", who="open", method="post"),
    View("logout", who="own", method="post"),
    View("password_reset", who="open"),
    View("password_reset", who="open", method="post"),
    View("password_reset_done", who="open"),
    View("password_reset_confirm", ("uid", "reset_token"), who="open"),
    View("password_reset_confirm", ("uid", "reset_token"), who="open", method="post"),
    View("password_reset_complete", who="open"),
    View("password_change", who="own"),
    View("password_change", who="own", method="post"),
    View("password_change_done", who="own"),
]

_LISTED = ("acme.slug",)
_PROJECT = ("project.pk",)
_STAGE = ("stage.pk",)
_PROMPT = ("prompt.pk",)

ANNOTATION: list[View] = [
    View("annotation:home", who="own"),
    View("annotation:account", who="own"),
    View("annotation:account", who="own", method="post"),
    View("annotation:token_issue", who="own", method="post"),
    View("annotation:token_revoke", ("token.pk",), who="own", method="post"),
    View("annotation:workspace_new", who="own"),
    View("annotation:workspace_new", who="own", method="post"),
    View("annotation:workspace", _LISTED),
    *pages("annotation:people", "annotation:activity", args=_LISTED, least="lead"),
    View("annotation:invite", _LISTED, "lead", "post"),
    View("annotation:invitation", ("invitation_secret",), who="open"),
    View("annotation:invitation", ("invitation_secret",), who="open", method="post"),
    View("annotation:invitation_revoke", ("invitation.pk",), "lead", "post"),
    View("annotation:member_role", ("membership.pk",), "lead", "post"),
    View("annotation:member", ("membership.pk",), "lead"),
    *form("annotation:erase_person", ("membership.pk",), "owner"),
    *form("annotation:erase_prompt", ("prompt.pk",), "owner"),
    View("annotation:erasures", _LISTED, "owner"),
    View("annotation:erasure", ("erasure.pk",), "owner"),
    View("annotation:member_leave", ("membership.pk",), "lead", "post"),
    View("annotation:member_hand_over", ("membership.pk",), "lead", "post"),
    View("annotation:member_deactivate", ("membership.pk",), "lead", "post"),
    View("annotation:member_reactivate", ("membership.pk",), "lead", "post"),
    View("annotation:member_reset", ("membership.pk",), "owner", "post"),
    *pages(
        "annotation:project", "annotation:guidelines", "annotation:project_board", args=_PROJECT
    ),
    View("annotation:project_board", _PROJECT, "lead", "post"),
    *form("annotation:project_new", _LISTED, "lead"),
    *form("annotation:project_settings", _PROJECT, "lead"),
    *form("annotation:guidelines_edit", _PROJECT, "lead"),
    View("annotation:guidelines_read", _PROJECT, method="post", ok=(302, 404)),
    *form("annotation:stage_new", _PROJECT, "lead"),
    *form("annotation:prompt_new", _PROJECT, "lead"),
    *form("annotation:stage_edit", _STAGE, "lead"),
    *form("annotation:rubric_edit", _STAGE, "lead"),
    *form("annotation:prompt_edit", _PROMPT, "lead"),
    View("annotation:project_archive", _PROJECT, "lead", "post"),
    View("annotation:project_restore", _PROJECT, "lead", "post"),
    View("annotation:stage", _STAGE, "reviewer"),
    View("annotation:stage_state", _STAGE, "lead", "post"),
    *pages(
        "annotation:item_release",
        "annotation:item_unflag",
        args=("item.pk",),
        least="lead",
        method="post",
    ),
    View("annotation:prompts", _PROJECT, "reviewer"),
    View("annotation:prompts_act", _PROJECT, "lead", "post"),
    View("annotation:project_actions", _PROJECT, "lead"),
    View("annotation:action_undo", ("action.pk",), "lead", "post"),
    View("annotation:prompt", _PROMPT, "reviewer"),
    View("annotation:prompt_retire", _PROMPT, "lead", "post"),
    View("annotation:prompt_restore", _PROMPT, "lead", "post"),
    *form("annotation:imports", _PROJECT, "lead"),
    View("annotation:export", _PROJECT, "lead"),
    View("annotation:import", ("import_.pk",), "lead"),
    View("annotation:import_progress", ("import_.pk",), "lead"),
    View("annotation:import_report", ("import_.pk",), "lead"),
    View("annotation:import_change", ("import_.pk",), "lead", "post"),
    View("annotation:import_header", ("import_.pk",), "lead", "post"),
    View("annotation:import_start", ("import_.pk",), "lead", "post"),
    View("annotation:import_about", ("import_.pk",), "lead", "post"),
    View("annotation:import_fetch", ("import_.pk",), "lead", "post"),
    View("annotation:import_refusals", ("import_.pk",), "lead"),
    View("annotation:mapping_keep", ("import_.pk",), "lead", "post"),
    View("annotation:mapping_remove", ("mapping.pk",), "lead", "post"),
    View("annotation:import_cancel", ("import_.pk",), "lead", "post"),
    *form("annotation:review", _STAGE, "reviewer"),
    *form("annotation:review_fix", ("submission.pk",), "reviewer"),
    View("annotation:item", ("item.pk",), "reviewer"),
    *form("annotation:item_adjudicate", ("item.pk",), "lead"),
    *form("annotation:item_gold", ("item.pk",), "lead"),
    *pages(
        "annotation:item_undecide",
        "annotation:item_gold_end",
        args=("item.pk",),
        least="lead",
        method="post",
    ),
    View("annotation:comment_new", ("turn.item.prompt_id",), method="post"),
    View("annotation:comment_withdraw", ("comment.pk",), method="post"),
    View("annotation:quality", _STAGE, "reviewer"),
    View("annotation:quality_measure", _STAGE, "reviewer", "post"),
    View("annotation:rater", _STAGE, "lead", ok=(200, 404)),  # 404: nobody of that name
    View("annotation:person", ("stage.pk", "bea.pk"), "lead"),
    View("annotation:gold", _STAGE, "lead"),
    View("annotation:turns", _STAGE),
    View("annotation:turn", ("submission.pk",), "reviewer"),
    View("annotation:turn", ("turn.pk",)),
    *pages(
        "annotation:turn_reopen",
        "annotation:turn_complete",
        args=("turn.pk",),
        method="post",
    ),
    View("annotation:work", _STAGE),
    View("annotation:work", _STAGE, method="post"),
    *pages(
        "annotation:work_draft",
        "annotation:work_skip",
        "annotation:work_flag",
        "annotation:work_undo",
        "annotation:work_preview",
        args=_STAGE,
        method="post",
    ),
    View("api-projects", who="program"),
    View("api-projects", (), "lead", "post", "api", data=(("workspace", "acme"), ("name", "New"))),
    View("api-project", _PROJECT, who="api"),
    View("api-stages", _PROJECT, who="api"),
    View("api-stage", _STAGE, who="api"),
    View("api-stage-order", _STAGE, "lead", "post", "api", data=(("scores", {"p1": 1}),)),
    View("api-stage-priority", _STAGE, "lead", "post", "api", data=(("prompts", ["p1"]),)),
    View("api-stage-quality", _STAGE, "reviewer", who="api"),
    View("api-prompts", _PROJECT, "reviewer", who="api"),
    View("api-prompts", _PROJECT, "lead", "post", who="api"),
    View("api-prompt", _PROMPT, "reviewer", who="api"),
    View("api-submissions", _PROJECT, "reviewer", who="api"),
    View("api-submission", ("submission.pk",), "reviewer", who="api"),
    View(
        "api-submission-review",
        ("submission.pk",),
        "reviewer",
        "post",
        "api",
        data=(("decision", "accept"),),
    ),
    View("api-item-adjudication", ("item.pk",), "lead", "post", "api"),
    View("api-item-adjudication", ("item.pk",), "lead", "delete", "api"),
    View("api-item-gold", ("item.pk",), "lead", "post", "api", data=(("content", {}),)),
    View("api-item-gold", ("item.pk",), "lead", "delete", "api"),
    View("api-imports", _PROJECT, "lead", who="api"),
    View("api-imports", _PROJECT, "lead", "post", "api", form=True),
    View("api-import", ("import_.pk",), "lead", who="api"),
    View("api-import-start", ("import_.pk",), "lead", "post", "api"),
    View("api-import-cancel", ("import_.pk",), "lead", "post", "api"),
]

_DATASET, _SNAPSHOT = ("dataset.pk",), ("snapshot.pk",)
_TWO = ("snapshot.pk", "older_snapshot.pk")

EXPORTS: list[View] = [
    *pages("exports:datasets", args=("acme.slug",), least="lead"),
    *form("exports:dataset_new", ("acme.slug",), "lead"),
    *form("exports:dataset_edit", _DATASET, "lead"),
    *pages("exports:dataset", "exports:figures", "exports:versions", args=_DATASET, least="lead"),
    View("exports:weights", _DATASET, "lead"),
    View("exports:dataset_count", _DATASET, "lead", "post"),
    View("exports:dataset_freeze", _DATASET, "lead", "post"),
    *pages("exports:rulesets", args=("acme.slug",), least="lead"),
    View("exports:ruleset", ("ruleset.pk",), "lead"),
    *form("exports:ruleset_edit", ("ruleset.pk",), "lead"),
    *form("exports:rules_save", _DATASET, "lead"),
    *form("exports:rules_use", ("dataset.pk", "ruleset_version.pk"), "lead"),
    *form("exports:benchmarks", ("acme.slug",), "lead"),
    View("exports:benchmark_delete", ("benchmark.pk",), "lead", "post"),
    *pages("exports:explore", "exports:explore_state", args=_DATASET, least="lead"),
    View("exports:explore_row", ("dataset.pk", "look_row"), "lead"),
    *form("exports:explore_rule", _DATASET, "lead"),
    *pages("exports:snapshot", "exports:snapshot_state", args=_SNAPSHOT, least="lead"),
    *pages(
        "exports:snapshot_about",
        "exports:snapshot_sign",
        "exports:snapshot_unsign",
        args=_SNAPSHOT,
        least="lead",
        method="post",
    ),
    View("exports:plot", ("snapshot.pk", "plot_name"), "lead", ok=(404,)),
    View("exports:compare_choose", _SNAPSHOT, "lead"),
    *pages("exports:compare", "exports:compare_rows", args=_TWO, least="lead"),
    View("exports:snapshot_destroy", _SNAPSHOT, "owner", "post"),
    View("exports:erasure_panel", ("erasure.pk",), "owner"),
    View("exports:download", ("snapshot.pk", "download_form"), "lead"),
    View("exports:project_panel", ("project.pk",), "lead"),
    View("api-datasets", ("acme.slug",), "lead", who="api"),
    View("api-datasets", ("acme.slug",), "lead", "post", who="api"),
    View("api-dataset", _DATASET, "lead", who="api"),
    View("api-dataset-preview", _DATASET, "lead", who="api"),
    View("api-snapshots", _DATASET, "lead", who="api"),
    View("api-snapshots", _DATASET, "lead", "post", who="api"),
    View("api-snapshot", _SNAPSHOT, "lead", who="api"),
    View("api-snapshot", _SNAPSHOT, "lead", "patch", who="api"),
    View("api-snapshot-sign", _SNAPSHOT, "lead", "post", who="api"),
    View("api-snapshot-sign", _SNAPSHOT, "lead", "delete", who="api"),
    View("api-compare", _TWO, "lead", who="api"),
]

TRAINING = [
    *pages("training:runs", "training:home_panel", args=("acme.slug",), least="lead"),
    View("training:get_model", ("acme.slug",), least="lead", method="post"),
    *pages("training:run", "training:run_live", "training:run_log", args=("run.pk",), least="lead"),
    *pages(
        "training:run_cancel",
        "training:run_resume",
        "training:run_answer",
        "training:run_evaluate",
        "training:run_preflight",
        args=("run.pk",),
        least="lead",
        method="post",
    ),
    View("training:dataset_panel", ("dataset.pk",), least="lead"),
    View("training:snapshot_panel", ("snapshot.pk",), least="lead"),
    View("training:erasure_panel", ("erasure.pk",), least="owner"),
    *pages(
        "training:preflight",
        "training:start",
        "training:rlhf",
        "training:rlhf_preflight",
        args=("dataset.pk",),
        least="lead",
        method="post",
    ),
    View("training:similar_panel", _PROMPT, "reviewer"),
    *pages(
        "training:similar_start",
        "training:similar_stop",
        args=_PROMPT,
        least="lead",
        method="post",
    ),
    View("training:project_panel", ("project.pk",), least="lead"),
    View("training:project_answer", ("project.pk",), least="lead", method="post"),
    View("api-runs", ("acme.slug",), "lead", who="api"),
    View("api-runs", ("acme.slug",), "lead", "post", who="api"),
    *pages(
        "api-run",
        "api-run-events",
        "api-run-evaluations",
        args=("run.pk",),
        least="lead",
        who="api",
    ),
    View("api-snapshot-evaluations", ("snapshot.pk",), "lead", who="api"),
    *pages(
        "api-run-cancel",
        "api-run-resume",
        args=("run.pk",),
        least="lead",
        method="post",
        who="api",
    ),
]

VIEWS = OPEN + ANNOTATION + EXPORTS + TRAINING


def make_world(cast: SimpleNamespace) -> SimpleNamespace:
    """One of each thing, in Acme; what a URL's arguments are taken from."""
    world = SimpleNamespace(**vars(cast))
    world.invitation_secret = "an invitation's secret"
    world.invitation = Invitation.objects.create(
        workspace=cast.acme,
        email="new@example.org",
        role=Role.ANNOTATOR,
        secret_hash=hash_secret(world.invitation_secret),
        expires=timezone.now() + timedelta(days=1),
    )
    world.membership = Membership.objects.get(user=cast.bea)
    world.token, _ = ApiToken.issue(cast.ana, "a script")
    world.stage = Stage.objects.create(project=cast.project, kind="write", name="Write")
    world.prompt = Prompt.objects.create(
        project=cast.project,
        external_id="p1",
        messages=[{"role": "user", "content": "Why is the sky blue?"}],
        fingerprint="f",
        root_key="r",
    )
    world.response = Response.objects.create(
        prompt=world.prompt, text="Because of scattering.", origin="imported", fingerprint="g"
    )
    world.action = Action.objects.create(
        project=cast.project, kind="retire", said="x", changed=0, before={"prompts": []}
    )
    world.item = Item.objects.create(stage=world.stage, prompt=world.prompt, position=1, needed=2)
    world.submission = Submission.objects.create(
        item=world.item, stage=world.stage, user=cast.bea, state=Submission.State.SUBMITTED
    )
    # Ana's own turn, skipped, at an item of its own.
    other = Prompt.objects.create(
        project=cast.project,
        external_id="p2",
        messages=[{"role": "user", "content": "Why is grass green?"}],
        fingerprint="h",
        root_key="s",
    )
    world.turn = Submission.objects.create(
        item=Item.objects.create(stage=world.stage, prompt=other, position=2, needed=2, skips=1),
        stage=world.stage,
        user=cast.ana,
        state=Submission.State.SKIPPED,
        skip_reason="unclear",
    )
    world.comment = Comment.objects.create(prompt=other, author=cast.ana, text="What of moss?")
    world.mapping = ColumnMapping.objects.create(
        workspace=cast.acme, name="FAQ", mapping={"prompt": "Question"}
    )
    world.import_ = Import.objects.create(project=cast.project, state=Import.State.DONE)
    world.dataset = Dataset.objects.create(
        workspace=cast.acme, name="Answers", slug="answers", kind="sft", selection={}
    )
    world.ruleset = Ruleset.objects.create(workspace=cast.acme, name="Strict", kind="sft")
    world.ruleset_version = RulesetVersion.objects.create(
        ruleset=world.ruleset, number=1, rules={"min_length": 20}
    )
    world.benchmark = Benchmark.objects.create(
        workspace=cast.acme, name="GSM8K test", path="gone.jsonl", texts=2, sha256="0"
    )
    world.look_row = 1
    world.snapshot = Snapshot.objects.create(
        dataset=world.dataset, number=1, state="failed", selection={}
    )
    world.older_snapshot = Snapshot.objects.create(
        dataset=world.dataset, number=2, state="failed", selection={}
    )
    world.plot_name = "splits.png"
    world.download_form = "jsonl"
    world.run = Run.objects.create(workspace=cast.acme, recipe="sft", state="failed")
    world.erasure = Erasure.objects.create(workspace=cast.acme, kind="prompt", subject=1)
    world.uid, world.reset_token = "MQ", "no-token"
    return world
