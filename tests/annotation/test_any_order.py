"""Several people, four stages, acts in any order: what must hold after each of them.

Hypothesis draws the acts and, where something breaks, finds the shortest way there. More of them:
`pytest tests/annotation/test_any_order.py --hypothesis-profile=long`."""

import itertools
import sys
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from annotation import (
    actions,
    adjudication,
    gold,
    projects,
    prompts,
    queue,
    reviewing,
    rounds,
    submissions,
    undoing,
)
from annotation.errors import Refused
from annotation.models import (
    Action,
    Item,
    Membership,
    Prompt,
    Ranking,
    Response,
    Role,
    Seat,
    Stage,
    Submission,
    SubmissionVersion,
    User,
    Workspace,
)
from tests.annotation.factories import add_answer, make_prompt, make_stage

State = Submission.State
HOLDS = (State.CLAIMED, State.DRAFT)
KINDS = ("write", "correct", "rank", "rate")
RIGHT = {"key": "right", "title": "Right?", "help": "", "required": True, "type": "rating"}
RIGHT |= {"about": "answer", "low": 1, "high": 5}
people = st.sampled_from(("ana", "bea", "caio"))
kinds = st.sampled_from(KINDS)
numbers = st.integers(0, 1000)
steps = Counter[str]()


class Workbench(RuleBasedStateMachine):
    """The machine's own memory: what was written (never to be lost), and the history so far."""

    @initialize(overlap=st.integers(1, 2), prompts=st.integers(1, 3))
    def open(self, overlap: int, prompts: int) -> None:
        self.world = transaction.atomic()
        self.world.__enter__()
        cache.clear()
        self.words = (f"text {n}" for n in itertools.count())
        self.kept: dict[int, str] = {}  # submission -> what its author saved last
        self.said: dict[int, list[Any]] = {}  # submission -> its history as it was
        acme = Workspace.objects.create(name="Acme", slug="acme", salt="s")
        self.project = projects.create_project(workspace=acme, name="Desk")
        self.people = {}
        for name in ("ana", "bea", "caio"):
            user = User.objects.create(email=f"{name}@example.org", name=name.title())
            Membership.objects.create(workspace=acme, user=user, role=Role.ANNOTATOR)
            self.people[name] = user
        self.rui = User.objects.create(email="rui@example.org", name="Rui")
        self.lee = User.objects.create(email="lee@example.org", name="Lee")
        for n in range(prompts):
            make_prompt(self.project, f"prompt {n}", answers=[f"a{n}", f"b{n}"][:n])
        self.stages = {
            kind: make_stage(
                self.project,
                kind,
                overlap=overlap,
                skips_to_close=2,
                rubric=rubric,
                review_share=50,
                gold_every=2,
            ).pk
            for kind, rubric in zip(KINDS, ([], [], [], [RIGHT]), strict=True)
        }

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:  # not over what was found already
                self.everything_gets_done()
        finally:
            transaction.set_rollback(True)
            self.world.__exit__(None, None, None)

    # What people do

    def stage(self, kind: str) -> Stage:
        return Stage.objects.select_related("project__workspace").get(pk=self.stages[kind])

    def held(self, name: str, kind: str) -> Submission | None:
        rows = Submission.objects.select_related("stage", "item__prompt").order_by("pk")
        return rows.filter(
            user=self.people[name], stage=self.stages[kind], state__in=[*HOLDS, State.EXPIRED]
        ).last()

    def content(self, turn: Submission, n: int) -> dict[str, Any]:
        """What the form would hand in; it carries a text wherever the kind has one."""
        shown = sorted(turn.shown)
        kind = turn.stage.kind
        if kind == "rank":
            cut = n % len(shown)
            order = [group for group in (shown[cut:], shown[:cut]) if group]
            return {"order": order} | ({"better": next(self.words)} if n % 3 == 0 else {})
        if kind == "rate":
            return {"ratings": {"right": {str(pk): 1 + n % 5 for pk in shown}}}
        return {"text": next(self.words)}

    def do(self, act: str, function: Any, **arguments: Any) -> Any:
        """The act; a refusal must leave nothing behind, which the invariants will see."""
        try:
            with transaction.atomic():
                done = function(**arguments)
        except Refused:
            steps[f"{act} refused"] += 1
            return None
        steps[act] += 1
        return done

    @rule(name=people, kind=kinds)
    def claim(self, name: str, kind: str) -> None:
        steps["claim"] += 1
        queue.claim(self.stage(kind), self.people[name])

    @rule(name=people, kind=kinds, n=numbers)
    def save(self, name: str, kind: str, n: int) -> None:
        if turn := self.held(name, kind):
            content = self.content(turn, n)
            saved = self.do(
                "save",
                submissions.save_draft,
                submission=turn,
                user=self.people[name],
                content=content,
                version=turn.version,
            )
            if saved and "text" in content:
                self.kept[turn.pk] = content["text"]

    @rule(name=people, kind=kinds, n=numbers)
    def save_from_a_stale_tab(self, name: str, kind: str, n: int) -> None:
        if (turn := self.held(name, kind)) and turn.version:
            with pytest.raises(submissions.Stale):
                submissions.save_draft(
                    submission=turn,
                    user=self.people[name],
                    content=self.content(turn, n),
                    version=turn.version - 1,
                )
            steps["stale"] += 1

    @rule(name=people, kind=kinds, n=numbers)
    def submit(self, name: str, kind: str, n: int) -> None:
        turn = self.held(name, kind) or queue.claim(self.stage(kind), self.people[name])
        if turn:
            content = self.content(turn, n)
            done = self.do(
                "submit",
                submissions.submit,
                submission=turn,
                user=self.people[name],
                content=content,
                version=turn.version,
            )
            assert done is not None
            if "text" in content:
                self.kept[turn.pk] = content["text"]

    @rule(name=people, kind=kinds)
    def skip(self, name: str, kind: str) -> None:
        if turn := self.held(name, kind):
            user = self.people[name]
            self.do("skip", submissions.skip, submission=turn, user=user, reason="unclear")

    def done_by(self, name: str) -> list[Submission]:
        turns = Submission.objects.select_related("stage", "item").filter(user=self.people[name])
        states = [State.SUBMITTED, State.SKIPPED, State.LATE]
        return list(turns.filter(state__in=states).order_by("pk"))

    @rule(name=people, n=numbers)
    def undo(self, name: str, n: int) -> None:
        if turns := self.done_by(name):
            stage = self.stage(turns[n % len(turns)].stage.kind)
            self.do("undo", submissions.undo, stage=stage, user=self.people[name])

    @rule(name=people, n=numbers)
    def reopen(self, name: str, n: int) -> None:
        if turns := self.done_by(name):
            turn = turns[n % len(turns)]
            self.do("reopen", submissions.reopen, submission=turn, user=self.people[name])

    @rule(name=people, n=numbers)
    def complete(self, name: str, n: int) -> None:
        """Questions that came later: the rate stage's one again, with another answer."""
        mine = Submission.objects.filter(user=self.people[name], stage=self.stages["rate"])
        for turn in mine.select_related("stage")[:1]:
            ratings = {"right": {str(pk): 1 + n % 5 for pk in turn.shown}}
            user = self.people[name]
            self.do("complete", submissions.complete, submission=turn, user=user, ratings=ratings)

    @rule(kind=kinds, n=numbers)
    def time_runs_out(self, kind: str, n: int) -> None:
        turns = Submission.objects.filter(stage=self.stages[kind], state__in=HOLDS).order_by("pk")
        if turns:
            steps["expire"] += 1
            one = turns[n % len(turns)]
            past = timezone.now() - timedelta(minutes=1)
            Submission.objects.filter(pk=one.pk).update(claimed_until=past)
            queue.expire(self.stage(kind))

    # What reviewers do

    @rule(what=st.sampled_from(("accept", "return", "fix")), n=numbers)
    def review(self, what: str, n: int) -> None:
        turns = Submission.objects.select_related("stage", "item").order_by("pk")
        if not (waiting := list(turns.filter(state=State.SUBMITTED))):
            return
        turn = waiting[n % len(waiting)]
        about: dict[str, Any] = {"submission": turn, "reviewer": self.rui}
        if what == "accept":
            self.do(what, reviewing.accept, **about)
        elif what == "return":
            self.do(what, reviewing.send_back, comment="Once more.", **about)
        else:
            self.do(what, reviewing.fix, content=self.content(turn, n), **about)

    # What leads and files do: one rule, so that most steps are the annotators'

    @rule(
        what=st.sampled_from(("prompt", "answer", "retire", "overlap", "priority", "scores")),
        kind=kinds,
        n=numbers,
    )
    def the_rest_of_the_world(self, what: str, kind: str, n: int) -> None:
        ids = list(Prompt.objects.order_by("pk").values_list("pk", flat=True))
        prompt = Prompt.objects.get(pk=ids[n % len(ids)])
        stage = self.stage(kind)
        if what == "prompt" and len(ids) < 6:
            make_prompt(self.project, next(self.words), answers=[next(self.words)])
        elif what == "answer" and Response.objects.count() < 25:
            add_answer(prompt, next(self.words))
            rounds.answers_arrived([prompt.pk])
        elif what == "retire":
            act = prompts.retire if prompt.retired is None else prompts.unretire
            self.do(what, act, prompt=prompt)
        elif what == "overlap":
            self.do(what, projects.update_stage, stage=stage, overlap=1 + n % 3)
        elif what == "priority":
            act = queue.set_priority
            self.do(what, act, stage=stage, prompt_ids=[prompt.pk], priority=n % 3 - 1)
        elif what == "scores":
            scores = {pk: float((n * pk) % 7) for pk in ids}
            self.do(what, queue.set_order, stage=stage, scores=scores, source="test")

    @rule(
        what=st.sampled_from(("decide", "gold", "no gold", "assign", "round", "bulk", "undo")),
        kind=kinds,
        n=numbers,
    )
    def a_lead(self, what: str, kind: str, n: int) -> None:
        items = list(Item.objects.filter(stage=self.stages[kind]).order_by("pk"))
        if not items:
            return
        item, stage = items[n % len(items)], self.stage(kind)
        lee = {"author": self.lee}
        if what == "decide":
            turn = Submission(item=item, stage=stage, shown=item.candidates)
            content = self.content(turn, n)
            self.do(what, adjudication.adjudicate, item=item, content=content, **lee)
        elif what == "gold" and kind in ("rank", "rate"):
            content = self.content(Submission(item=item, stage=stage, shown=item.candidates), 1)
            self.do(what, gold.make_gold, item=item, content=content, **lee)
        elif what == "no gold":
            self.do(what, gold.end_gold, item=item)
        elif what == "assign":
            people = list(self.people.values())[: 1 + n % 3] if n % 4 else []
            act = actions.assign
            self.do(what, act, stage=stage, prompts=[item.prompt_id], people=people, **lee)
        elif what == "round" and len(items) < 8:
            self.do(what, actions.open_round, stage=stage, prompts=[item.prompt_id], **lee)
        elif what == "bulk":
            ids = [each.prompt_id for each in items]
            act = actions.retire if n % 2 else actions.restore
            self.do(what, act, project=self.project, prompts=ids, **lee)
        elif what == "undo" and (last := Action.objects.filter(undone=None).last()):
            self.do("undo a bulk act", undoing.undo, action=last, **lee)

    # What must hold

    @invariant()
    def places_are_counted_right(self) -> None:
        for item in Item.objects.select_related("stage", "prompt").prefetch_related("submissions"):
            states = Counter(turn.state for turn in item.submissions.all())
            holding = states["claimed"] + states["draft"] + states["submitted"]
            where = f"item {item.pk} of {item.stage.kind}: {dict(states)}"
            assert holding == item.taken <= item.needed, where
            assert states["submitted"] == item.done, where
            assert states["skipped"] == item.skips, where
            full, given_up = item.taken == item.needed, item.skips >= item.stage.skips_to_close
            closed = full or given_up or item.prompt.retired is not None
            assert item.open != closed, f"{where}, open={item.open}, needed={item.needed}"

    @invariant()
    def nobody_gets_their_own(self) -> None:
        for turn in Submission.objects.exclude(shown=[]):
            own = Response.objects.filter(pk__in=turn.shown, author=turn.user)
            assert not own.exists(), turn.pk

    @invariant()
    def what_was_shown_stays(self) -> None:
        for turn in Submission.objects.select_related("item"):
            assert sorted(turn.shown) == sorted(turn.item.candidates), turn.pk

    @invariant()
    def the_history_only_grows(self) -> None:
        now: dict[int, list[Any]] = {}
        for row in SubmissionVersion.objects.order_by("submission", "number"):
            now.setdefault(row.submission_id, []).append((row.number, row.event, row.content))
        for turn, before in self.said.items():
            assert now[turn][: len(before)] == before
        for entries in now.values():
            assert [number for number, *_ in entries] == list(range(1, len(entries) + 1))
        self.said = now

    @invariant()
    def nothing_written_is_lost(self) -> None:
        drafts = dict(Submission.objects.values_list("pk", "draft"))
        for turn, text in self.kept.items():
            assert drafts[turn]["text"] == text

    @invariant()
    def work_in_force_is_what_was_handed_in(self) -> None:
        for turn in Submission.objects.select_related("stage").prefetch_related("responses"):
            mine = [row for row in turn.responses.all() if row.author_id == turn.user_id]
            live = [row.text for row in mine if row.withdrawn is None]
            done = turn.state == State.SUBMITTED
            text = turn.draft.get("better" if turn.stage.kind == "rank" else "text")
            assert live == ([text] if done and text else []), (turn.pk, turn.state)
            ranked = Ranking.objects.filter(submission=turn, withdrawn=None).exists()
            assert ranked == (done and turn.stage.kind == "rank"), turn.pk

    @invariant()
    def seats_count_right(self) -> None:
        for seat in Seat.objects.all():
            turns = Submission.objects.filter(stage=seat.stage, user=seat.user)
            assert seat.submitted == turns.filter(state=State.SUBMITTED).count()
            assert seat.skipped == turns.filter(state=State.SKIPPED).count()

    def everything_gets_done(self) -> None:
        """At the end: whoever asks often enough gets every open item that is for them."""
        for kind in KINDS:
            stage = self.stage(kind)
            for user in self.people.values():
                cache.clear()
                Seat.objects.filter(stage=stage, user=user, cursors__has_key="searched").update(
                    cursors={"searched": 0}
                )
                for _ in range(60):
                    turn = queue.claim(stage, user)
                    if turn is None:
                        break
                    content = self.content(turn, 1)
                    submissions.submit(submission=turn, user=user, content=content)
                    self.kept.pop(turn.pk, None)
                else:
                    raise AssertionError("the queue gives and gives")
                had = Submission.objects.filter(user=user).values("item")
                usual = Item.objects.filter(stage=stage, open=True).exclude(lane=Item.GOLD_LANE)
                for item in usual.exclude(pk__in=had):
                    if item.people and user.pk not in item.people:
                        continue
                    own = Response.objects.filter(pk__in=item.candidates, author=user)
                    assert own.exists(), f"{user} never got item {item.pk} of {kind}"
        self.places_are_counted_right()
        self.nothing_written_is_lost()


@pytest.mark.django_db
def test_any_order(request) -> None:
    steps.clear()
    given = request.config.getoption("hypothesis_profile", None)
    run_state_machine_as_test(Workbench, settings=settings.get_profile(given or "short"))
    print(f"{sum(n for act, n in steps.items() if 'refused' not in act)} acts:", dict(steps))
    assert steps["submit"] > 5  # the machine did work
