"""Good, careless, spamming, biased to the left: the page tells them apart; and real raters."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from django.urls import reverse
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from annotation import importing, quality
from annotation.models import Item, Stage
from annotation.quality_marks import marks
from annotation.quality_people import people
from tests.annotation import crowd

pytestmark = pytest.mark.django_db
WANTED = {
    "Gita": set(),
    "Goran": set(),
    "Gwen": set(),
    "Carl": {"careless"},
    "Spencer": {"chance", "fast"},
    "Lefteris": {"left"},
}


@pytest.fixture
def made(cast) -> crowd.Made:
    return crowd.work(cast, items=200, known=12)


def test_the_crowd_is_told_apart(cast, made, as_user) -> None:
    result = quality.compute(made.stage)
    found = {
        name: {mark["code"] for mark in person["marks"]}
        for name, user in made.people.items()
        for person in result["people"]
        if person["rater"] == user.pk
    }
    for name, wanted in WANTED.items():
        also = set() if name.startswith("G") else {"careless", "gold"}
        assert wanted <= found[name] <= wanted | also, (name, found)
    assert result["gold"]["items"] == 12
    assert all(person["gold"]["n"] == 12 for person in result["people"])
    assert result["compared"] == result["items"] == 200  # gold is left out
    [question] = result["questions"]
    assert 0.2 < question["figures"][0]["value"] < 0.4
    wins = {line["source"]: line["won"] for line in result["results"]["wins"]}
    assert wins["alpha"] > 0.55 > 0.45 > wins["beta"]
    page = as_user(cast.lee).get(reverse("annotation:quality", args=[made.stage.pk]))
    text = page.content.decode()
    assert "⚑ leans to the left" in text and "⚑ no better than chance" in text
    assert text.index("Spencer") < text.index("Gita")  # those to look at come first


def test_the_crowd_in_many_draws() -> None:
    """Of 60 crowds that did 200 items each: who is told apart how often, and who wrongly so."""
    seen: dict[str, Counter[str]] = {name: Counter() for name, *_ in crowd.CROWD}
    for seed in range(60):
        data, asked = crowd.drawn(items=200, seed=seed)
        found = people(data, asked)
        for person in found:
            codes = [mark.code for mark in marks(person, found)]
            seen[crowd.CROWD[int(person.rater)][0]].update(codes)
    assert seen["Spencer"]["chance"] >= 57 and seen["Spencer"]["fast"] == 60
    assert seen["Carl"]["careless"] >= 54 and seen["Lefteris"]["left"] == 60
    assert seen["Spencer"].keys() <= {"chance", "careless", "fast"}
    assert seen["Carl"].keys() <= {"careless"}
    assert seen["Lefteris"].keys() <= {"left", "careless"}
    assert sum(sum(seen[name].values()) for name in ("Gita", "Goran", "Gwen")) <= 2


def test_pandalm_as_the_reference_libraries_say(cast, sample_data, as_user) -> None:
    """Three raters of 411 comparisons (18 rows are refused): every kappa to 1e-9, from the file's
    own columns on one side and from the imported rows on the other."""
    path = sample_data / "pairs/pandalm_testset.json"
    row = importing.create(project=cast.project, user=cast.lee, path=path, skip_bad=True)
    importing.run_now(row)
    stage = Stage.objects.get(state="imported")
    [question] = quality.compute(stage)["questions"]

    rows = [
        line
        for line in json.loads(path.read_text())
        if all(str(line[part]).strip() for part in ("response1", "response2"))
    ]
    raters = ("annotator1", "annotator2", "annotator3")
    table = np.array([[{1: 1, 2: -1, 0: 0}[line[each]] for each in raters] for line in rows])
    assert table.shape == (393, 3)

    assert len(question["pairs"]) == 3
    column = {rater: number for number, rater in enumerate(raters)}
    for pair in question["pairs"]:
        one, other = table[:, column[pair["one"]]], table[:, column[pair["other"]]]
        assert pair["units"] == 393
        assert pair["kappa"] == pytest.approx(cohen_kappa_score(one, other), rel=0, abs=1e-9)
        weighted = cohen_kappa_score(one, other, weights="quadratic", labels=[-1, 0, 1])
        assert pair["weighted"] == pytest.approx(weighted, rel=0, abs=1e-9)
    counts, _ = aggregate_raters(table)
    fleiss = next(each for each in question["figures"] if each["metric"] == "fleiss")
    assert fleiss["value"] == pytest.approx(fleiss_kappa(counts), rel=0, abs=1e-9)
    same = next(each for each in question["figures"] if each["metric"] == "same")
    alike = [row[i] == row[j] for row in table for i, j in combinations(range(3), 2)]
    assert same["value"] == pytest.approx(np.mean(alike), rel=0, abs=1e-12)

    # Item by item: a tie is half apart from a preference, two preferences are wholly apart.
    apart = Counter(
        round(100 * np.mean([abs(row[i] - row[j]) / 2 for i, j in combinations(range(3), 2)]))
        for row in table.tolist()
    )
    assert Counter(Item.objects.values_list("disagreement", flat=True)) == apart

    client = as_user(cast.lee)
    page = client.get(reverse("annotation:quality", args=[stage.pk])).content.decode()
    named = [f"{one} and {other}" for one, other in combinations(raters, 2)]
    assert (
        sum(pair in page or " and ".join(pair.split(" and ")[::-1]) in page for pair in named) == 3
    )
    who = client.get(reverse("annotation:rater", args=[stage.pk]), {"rater": "annotator1"})
    assert who.status_code == 200 and "annotator2" in who.content.decode()
