"""Personal data: what is found, what is left alone, and that no text is slow."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import personal
from exports.personal import IBAN_LENGTHS, KINDS, Found, find, mask


def found(text):
    return [(one.kind, text[one.start : one.end]) for one in find(text, KINDS)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "jane.doe@example.com"),
        ("email", "o'neil+tag@mail.example.co.uk"),
        ("email", "jürgen@müller.example"),
        ("email", "x_1%y@sub-domain.example.museum"),
        ("phone", "+1 (555) 010-9999"),
        ("phone", "(512) 555-0202"),
        ("phone", "323-856-7866"),
        ("phone", "1-844-555-5555"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "+44 (0)20 7946 0958"),
        ("phone", "+4915112345678"),
        ("phone", "030 1234567"),
        ("phone", "0171/1234567"),
        ("phone", "(030) 123 456 78"),
        ("phone", "01 23 45 67 89"),
        ("phone", "0049 30 1234567"),
        ("phone", "+86 138 1234 5678"),
        ("card", "4111 1111 1111 1111"),
        ("card", "4111-1111-1111-1111"),
        ("card", "4111111111111111"),
        ("card", "3782 822463 10005"),
        ("card", "5555555555554444"),
        ("card", "6011000990139424"),
        ("ip", "192.0.2.17"),
        ("ip", "8.8.8.8"),
        ("ip", "2001:db8::1"),
        ("ip", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("ip", "fe80::1ff:fe23:4567:890a"),
        ("iban", "GB82 WEST 1234 5698 7654 32"),
        ("iban", "DE89370400440532013000"),
        ("iban", "NO93 8601 1117 947"),
        ("iban", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "It is {}.", "({})", "“{}”, he said", "a\n{}\nb", "从{}来"]
)
def test_it_is_found(kind, value, around):
    text = around.format(value)
    if around[0] == "从" and kind != "email":
        text = text.replace("从", "从 ").replace("来", " 来")
    elif around[0] == "从":
        text = text.replace("从", "从 ").replace("来", "，来")
    if around == "({})" and value[0] == "(":
        text = f"[{value}]"
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "a@b is not a mail",
        "@property and @app.route('/x')",
        "logo@2x.png and name@host",
        "version 1.2.3.4, v1.2.3.4, release 10.0.0.1; section 2.3.4.5",
        "1.2.3 and 1.2.3.4.5 and 256.1.1.1 and 01.02.03.004",
        "127.0.0.1, 0.0.0.0, ::1, 255.255.255.0, 224.0.0.1",
        "std::vector<int> and a::b::c, at 12:30:45 on 10:20",
        "00:1A:2B:3C:4D:5E is a MAC address",
        "in 1999-2004, 2024-01-02, 01.02.2024 and 01/02/2024 10:30",
        "$1,234,567.89 and 12 345 678 € and 1234567",
        "order 12345678, ISBN 978-3-16-148410-0, ISBN 0-306-40615-2",
        "3.14159265358979 and 0.123456789012 and 1e10",
        "1 2 3 4 5 6 7 8 9 10 11 12",
        "12 + 1234567890 = 1234567902",
        "100-200 pages, 555-0100",
        "SSN 000-00-0000",
        "4111 1111 1111 1112",
        "1234567890123456 and 1700000000000",
        "IBAN GB00 TEST 0000 0000 0000 00",
        "GB82 WEST 1234 5698 7654 33",
        "XX82 WEST 1234 5698 7654 32",
        "https://example.org/123-456-7890/x?id=555-123-4567",
        "",
    ],
)
def test_it_is_left_alone(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("call 5550100 now", ["5550100"]),
        ("Tel.: 12345678", ["12345678"]),
        ("电话：13812345678", ["13812345678"]),
        ("call +1 (555) 010-9999 or 555-0100", ["+1 (555) 010-9999", "555-0100"]),
        ("In 2023 323-856-7866", ["323-856-7866"]),
    ],
)
def test_a_word_before_it_tells_a_phone_number(text, numbers):
    assert [value for kind, value in found(text) if kind == "phone"] == numbers


def test_masking_says_how_many_of_each():
    text = "jane@example.com, 4111 1111 1111 1111, joe@example.com; 192.0.2.17"
    assert mask(text, KINDS) == (
        "[EMAIL], [CARD], [EMAIL]; [IP]",
        {"email": 2, "card": 1, "ip": 1},
    )
    assert mask(text, ["ip"]) == (text.replace("192.0.2.17", "[IP]"), {"ip": 1})
    assert mask(text, []) == (text, {})
    assert mask("nothing", KINDS) == ("nothing", {})


def test_an_unknown_kind_is_an_error():
    with pytest.raises(KeyError, match="shoe"):
        find("x", ["shoe"])


PIECES = st.sampled_from(
    ["jane@example.com", "+1 555 010 9999", "4111 1111 1111 1111", "192.0.2.17", "2001:db8::1"]
    + ["DE89370400440532013000", " ", ",", "1", "a", "@", ":", ".", "-", "(", "+", "é", "\n"]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_finds_are_in_order_apart_and_within_the_text(text):
    ends = [0]
    for one in find(text, KINDS):
        assert isinstance(one, Found)
        assert ends[-1] <= one.start < one.end <= len(text)
        ends.append(one.end)


@given(st.lists(PIECES, max_size=30).map(" ; ".join))
def test_what_is_masked_is_gone(text):
    masked, _ = mask(text, KINDS)
    assert "jane@example.com" not in masked
    assert "4111 1111" not in masked
    assert find(masked, ["email", "card", "iban"]) == []


@pytest.mark.parametrize("digits", ["0", "18", "4111111111111111", "79927398713"])
def test_luhn(digits):
    assert personal.luhn(digits)
    wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not personal.luhn(wrong)


def test_iban_lengths_are_those_of_the_registry():
    assert len(IBAN_LENGTHS) > 75
    assert {IBAN_LENGTHS[one] for one in ("NO", "DE", "FR", "MT", "GB")} == {15, 22, 27, 31}


HOSTILE = [
    "1",
    "1 ",
    "1-",
    "+1(",
    "@a.",
    "a@",
    "a.",
    ":",
    "a:",
    "1:",
    "::1",
    "GB82 ",
    "GB82W",
    ".1",
]
HOSTILE += ["(0", "aA1@b-", "4111 ", "1.2.3.4 ", "00 1", "+", "tel ", "1()./-", "\u00a01", "@"]


def test_a_long_text_of_anything_takes_seconds_at_most():
    """A pattern that goes back and forth would take hours; the limit is far from both."""
    lines = (
        "from exports.personal import *\n"
        f"for unit in {HOSTILE!r}:\n"
        "    find(unit * (100_000 // len(unit)), KINDS)\n"
        "print('done')"
    )
    told = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, timeout=300, check=True
    )
    assert told.stdout == "done\n"
