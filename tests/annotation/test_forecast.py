"""The date that a pace leads to, in words."""

from datetime import date

import pytest

from annotation.forecast import forecast

TODAY = date(2026, 11, 21)  # a Saturday


def test_an_even_pace_leads_to_a_day() -> None:
    found = forecast(100, [20] * 29 + [5], TODAY)
    assert (found.day, found.early, found.late) == (date(2026, 11, 26),) * 3
    assert found.said == "At 20 a day it is done about Thu 26 Nov."
    assert "the last 7 whole days" in found.assumes


def test_today_is_half_over_and_does_not_count() -> None:
    assert forecast(100, [20] * 29 + [0], TODAY).pace == 20


def test_days_that_differ_widen_the_range() -> None:
    days = [0] * 22 + [10, 30, 20, 25, 15, 0, 40, 0]
    found = forecast(1000, days, TODAY)
    assert found.early is not None and found.day is not None and found.late is not None
    assert found.early < found.day < found.late
    # Of 20 a day, whose standard error is sqrt(1050 / 6 / 7) = 5; 1.28 of them to each side.
    assert found.early == date(2026, 11, 21 + 0) + (date(2026, 12, 29) - TODAY)
    assert "between" in found.said


def test_the_days_before_work_began_say_nothing() -> None:
    found = forecast(90, [0] * 26 + [30, 30, 30, 0], TODAY)
    assert found.pace == 30
    assert "the last 3 whole days" in found.assumes


@pytest.mark.parametrize(
    ("left", "days", "words"),
    [
        (0, [5] * 30, "All that is here is done."),
        (9, [0] * 30, "Nobody has handed anything in for 7 days, so there is no date."),
        (9, [5] + [0] * 29, "Nobody has handed anything in for 7 days, so there is no date."),
        (10_000, [0] * 29 + [1], "At 1 a day it takes more than two years."),
        (3, [0] * 29 + [5], "At 5 a day it is done about tomorrow."),
    ],
)
def test_where_there_is_no_telling_it_says_why(left, days, words) -> None:
    assert forecast(left, days, TODAY).said == words


def test_a_single_day_is_a_guess_and_is_called_one() -> None:
    assert "a guess" in forecast(30, [0] * 29 + [5], TODAY).assumes


def test_days_too_different_have_no_latest() -> None:
    found = forecast(500, [0] * 22 + [100, 0, 0, 0, 0, 0, 1, 0], TODAY)
    assert found.late is None
    assert "too much" in found.said


def test_a_date_of_another_year_says_the_year() -> None:
    assert "2027" in forecast(1000, [10] * 30, TODAY).said
