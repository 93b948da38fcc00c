"""The explorer's pages over a look: found, read in full, side by side, and made a rule."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.models import Activity
from exports.models import Dataset, Preview
from tests.exports.look_files import write_look

pytestmark = pytest.mark.django_db


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


def put(dataset: Dataset, folder, rows) -> None:
    now = timezone.now()
    Preview.objects.update_or_create(
        dataset=dataset,
        defaults={
            "key": "k", "state": "done", "look": str(write_look(folder, rows)), "computed": now,
            "started": now, "result": {"selection": dataset.selection},
        },
    )  # fmt: skip


@pytest.fixture
def rows(desk, cast):
    asked = desk.prompt("An old question, left out?")
    answer = desk.answer(asked, "An old answer")
    ana = f"user {cast.ana.pk}"
    return [
        {"texts": ("What is up?", "Much is up"), "language": "en", "length": 10,
         "annotators": [ana], "annotator": ana,
         "metadata.topic": "a & b", "group": 1, "day": 20_000},
        {"texts": ("Was ist los?", "<b>Viel</b>"), "language": "de", "length": 11, "day": 20_030},
        {"texts": ("What is up?", "Much was up"), "language": "en", "length": 12, "group": 1,
         "reason": "near-duplicate of another row (80 %)"},
        {"texts": ("What is up?", "Much is up"), "language": "en", "twin": 1,
         "reason": "exact duplicate of another row"},
        {"prompt": asked.pk, "responses": [answer.pk], "reason": "a tie", "language": "en"},
    ]  # fmt: skip


@pytest.fixture
def found(sft, tmp_path, rows) -> Dataset:
    put(sft, tmp_path / "look", rows)
    return sft


def ask(client, name: str, *args, **query) -> str:
    return client.get(reverse(f"exports:{name}", args=args), query).content.decode()


def test_the_rows_that_are_kept(lee, found, cast) -> None:
    shown = ask(lee, "explore", found.pk)
    assert "What is up?" in shown and "Was ist los?" in shown and "Much was up" not in shown
    assert "kept <b" in shown and "1 to 2 of 2" in shown
    assert "German (de)" in shown and f"by {cast.ana}" in shown
    assert "&lt;b&gt;Viel&lt;/b&gt;" in shown and "<b>Viel" not in shown


def test_a_single_day_is_no_facet(lee, sft, found, tmp_path, rows) -> None:
    assert 'name="day.from"' in ask(lee, "explore", found.pk)
    put(sft, tmp_path / "one-day", [row | {"day": 20_000} for row in rows])
    assert 'name="day.from"' not in ask(lee, "explore", sft.pk)


def test_rows_by_facets(lee, found) -> None:
    shown = ask(lee, "explore", found.pk, language="de")
    assert "Was ist los?" in shown and "What is up?" not in shown
    assert "Without “Language: German (de)”" in shown
    assert "Only these languages" in shown
    both = ask(lee, "explore", found.pk, language=["de", "en"])
    assert "1 to 2 of 2" in both
    none = ask(lee, "explore", found.pk, language="de", **{"length.from": "500"})
    assert "No row is left" in none


def test_left_out_rows_say_why_and_read_their_texts_from_the_database(lee, found) -> None:
    shown = ask(lee, "explore", found.pk, show="dropped", reason="a tie")
    assert "An old question, left out?" in shown and "An old answer" in shown
    assert "1 to 1 of 1" in shown
    all_of_them = ask(lee, "explore", found.pk, show="dropped")
    assert "exact duplicate of another row" in all_of_them and "1 to 3 of 3" in all_of_them


def test_texts_of_another_workspace_are_not_read(lee, found, tmp_path, cast) -> None:
    from annotation.models import Project, Prompt

    elsewhere = Project.objects.create(workspace=cast.other, name="Theirs", slug="theirs")
    secret = Prompt.objects.create(
        project=elsewhere, external_id="s", messages=[{"role": "user", "content": "Secret?"}],
        fingerprint="s", root_key="s",
    )  # fmt: skip
    put(found, tmp_path / "two", [{"prompt": secret.pk, "reason": "a tie"}])
    shown = ask(lee, "explore", found.pk, show="all")
    assert "no longer there" in shown and "Secret?" not in shown


def test_one_row_in_full_with_a_link_to_its_prompt(lee, found, rows) -> None:
    shown = ask(lee, "explore_row", found.pk, 5)
    assert "An old answer" in shown
    assert reverse("annotation:prompt", args=[rows[4]["prompt"]]) in shown
    assert "counted anew" in ask(lee, "explore_row", found.pk, 99)


def test_a_duplicate_stands_beside_the_row_that_was_kept(lee, found) -> None:
    near = ask(lee, "explore_row", found.pk, 3)
    assert "<del>is</del>" in near and "<ins>was</ins>" in near
    exact = ask(lee, "explore_row", found.pk, 4)
    assert exact.count('class="side"') == 2 and "<del>" not in exact
    assert ask(lee, "explore_row", found.pk, 1).count('class="side"') == 0


def test_groups_of_near_duplicates(lee, found) -> None:
    shown = ask(lee, "explore", found.pk, show="groups")
    assert "1 group of rows" in shown and "<ins>was</ins>" in shown


def test_pages(lee, sft, tmp_path) -> None:
    put(sft, tmp_path / "look", [{"texts": (f"Q {n}?", "A")} for n in range(60)])
    assert "26 to 50 of 60" in ask(lee, "explore", sft.pk, page="2")
    last = ask(lee, "explore", sft.pk, page="3")
    assert "Q 59?" in last and 'rel="next"' not in last and 'rel="prev"' in last
    assert ask(lee, "explore", sft.pk, page="x").count("Q 0?") == 1


def test_no_look_yet(lee, sft) -> None:
    shown = ask(lee, "explore", sft.pk)
    assert "The rows are being counted" in shown and "waits=1" in shown
    Preview.objects.update(progress=30, state="running", started=timezone.now())
    state = lee.get(reverse("exports:explore_state", args=[sft.pk]), {"waits": "1"})
    assert "30 %" in state.content.decode() and "HX-Refresh" not in state.headers


def test_who_waited_for_a_look_gets_it(lee, found) -> None:
    address = reverse("exports:explore_state", args=[found.pk])
    assert lee.get(address, {"waits": "1"}).headers["HX-Refresh"] == "true"
    assert "HX-Refresh" not in lee.get(address).headers


def test_rows_by_earlier_rules_say_so(lee, found) -> None:
    Dataset.objects.update(selection=found.selection | {"min_length": 3})
    shown = ask(lee, "explore", found.pk)
    assert "rows by the rules before the last change" in shown and "counting again" in shown


def test_a_choice_becomes_a_rule(lee, found) -> None:
    address = reverse("exports:explore_rule", args=[found.pk])
    query = "?language=de&facet=language&way=only"
    shown = lee.get(address + query).content.decode()
    assert "<ins>de</ins>" in shown and "Of the 2 rows that are kept now, <b>1</b> stays" in shown
    found.refresh_from_db()
    assert found.selection["languages"] == [], "shown is not saved"
    assert lee.post(address + query).url == reverse("exports:dataset", args=[found.pk])
    found.refresh_from_db()
    assert found.selection["languages"] == ["de"]
    assert found.selection["unsure_language"] == "drop"
    assert Activity.objects.filter(what="dataset edited", detail="only these languages").exists()
    assert "The rules say this already" in lee.get(address + query).content.decode()


def test_a_choice_that_is_no_rule_says_why(lee, sft, tmp_path, rows) -> None:
    put(sft, tmp_path / "look", [row | {"split": "train"} for row in rows])
    shown = ask(lee, "explore", sft.pk, split="train")
    assert "Split: No rule chooses rows by their split" in shown and "Make this a rule" not in shown
    shown = ask(lee, "explore", sft.pk, split="train", language="de")
    assert "No rule chooses rows by their split" in shown and "Only these languages" in shown


def test_a_rule_about_one_of_several_annotators(lee, sft, tmp_path, rows, cast) -> None:
    ana, bea = f"user {cast.ana.pk}", f"user {cast.bea.pk}"
    by = [row | {"annotator": [ana, bea] if n < 2 else [ana]} for n, row in enumerate(rows)]
    put(sft, tmp_path / "look", by)
    assert "1 to 2 of 2" in ask(lee, "explore", sft.pk, annotator=bea)
    address = reverse("exports:explore_rule", args=[sft.pk])
    query = {"annotator": bea, "facet": "annotator", "way": "without"}
    shown = lee.get(address, query).content.decode()
    assert "In 2 of those chosen others had a part as well" in shown
    shown = lee.get(address, {"language": "de", "facet": "language", "way": "only"})
    assert "had a part as well" not in shown.content.decode()


def test_what_is_no_rule_is_refused(lee, found) -> None:
    address = reverse("exports:explore_rule", args=[found.pk])
    for query in ("", "?language=de&facet=language&way=without", "?facet=length&way=only"):
        assert lee.post(address + query).url == reverse("exports:explore", args=[found.pk])
    assert "No rule says that" in lee.get(address, follow=True).content.decode()


def test_the_look_of_a_real_count(lee, pairs, desk) -> None:
    """What looks.py writes is what is read here, an exact duplicate's kept row included."""
    from exports import previews

    stage = pairs.workspace.projects.get(slug="support-desk").stages.get()
    for name in ("one", "two"):
        asked = desk.prompt("The same?", external_id=name)
        answers = [desk.answer(asked, text) for text in ("Yes, it is", "No")]
        desk.rank(stage, asked, [[answers[0]], [answers[1]]])
    previews.refresh(dataset=pairs)
    previews.compute(pairs.pk)
    shown = ask(lee, "explore", pairs.pk, show="dropped", reason="exact duplicate of another row")
    assert "1 to 1 of 1" in shown
    row = int(shown.split("/explore/rows/")[1].split("/")[0])
    assert ask(lee, "explore_row", pairs.pk, row).count('class="side"') == 2
    assert "1 to 25 of 60" in ask(lee, "explore", pairs.pk, show="dropped", reason="tie")


def test_a_phrase_narrows_and_stays_in_every_link(lee, found) -> None:
    url = reverse("exports:explore", args=[found.pk])
    page = lee.get(url, {"q": "<b>viel", "language": "de"})
    assert [shown.row.id for shown in page.context["rows"]] == [2]
    text = page.content.decode()
    assert "“&lt;b&gt;viel”" in text and "<b>viel" not in text
    assert '<input type="hidden" name="language" value="de">' in text
    assert all("q=%3Cb%3Eviel" in address for _, _, address, _ in page.context["tabs"])
    assert "No row is left" in lee.get(url, {"q": "nowhere"}).content.decode()
    groups = lee.get(url, {"q": "much was", "show": "groups"})
    assert groups.context["total"] == 1
    none = lee.get(url, {"q": "nowhere", "show": "groups"}).content.decode()
    assert "Take the filters away" in none and "finds them" not in none


def test_what_was_found_is_marked(lee, found) -> None:
    url = reverse("exports:explore", args=[found.pk])
    shown = lee.get(url, {"q": "<B>viel", "language": "de"}).content.decode()
    assert "<mark>&lt;b&gt;Viel</mark>&lt;/b&gt;" in shown
    assert f'{reverse("exports:explore_row", args=[found.pk, 2])}?q=%3CB%3Eviel"' in shown
    row = ask(lee, "explore_row", found.pk, 2, q="<B>viel")
    assert "<mark>&lt;b&gt;Viel</mark>&lt;/b&gt;" in row and "found 1 time<" in row
    row = ask(lee, "explore_row", found.pk, 2)
    assert "&lt;b&gt;Viel&lt;/b&gt;" in row and "<mark>" not in row and "found" not in row


def test_what_was_found_is_marked_side_by_side(lee, found) -> None:
    row = ask(lee, "explore_row", found.pk, 3, q="MUCH WAS")
    assert "<mark>Much </mark>" in row and "<ins><mark>was</mark></ins>" in row
    assert "<del>is</del>" in row
    groups = ask(lee, "explore", found.pk, q="much was", show="groups")
    assert "<ins><mark>was</mark></ins>" in groups
