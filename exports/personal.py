"""Mail addresses, phone and card numbers, IP addresses and IBANs in a text: found, or masked. Pure.

Every search moves forward through the text and looks at a bounded stretch around what it found, so
the time is linear in the length of any text. What is checked can be checked without asking anybody:
shapes, lengths and check digits."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

KINDS: dict[str, str] = {
    "email": "mail addresses",
    "phone": "phone numbers",
    "card": "payment card numbers (with a valid check digit)",
    "ip": "IP addresses",
    "iban": "bank account numbers (IBAN, with valid check digits)",
}


def in_rows(counts: Mapping[str, int]) -> str:
    """In how many rows which kinds were found: "mail addresses in 12 rows", or "none"."""
    told = [
        f"{words.split(' (')[0]} in {counts[kind]:,} row{'s' if counts[kind] > 1 else ''}"
        for kind, words in KINDS.items()
        if counts.get(kind)
    ]
    return ", ".join(told) or "none"


@dataclass(frozen=True, slots=True)
class Found:
    """`kind`: a key of KINDS. `start`, `end`: places in the text, as in a slice."""

    kind: str
    start: int
    end: int


def find(text: str, kinds: Collection[str]) -> list[Found]:
    """All of the kinds, in order; of two that overlap the one that begins first, of two that begin
    together the longer. Raises KeyError for an unknown kind."""
    if unknown := set(kinds) - set(KINDS):
        raise KeyError(sorted(unknown)[0])
    found = [Found("email", *span) for span in _emails(text)] if "email" in kinds else []
    digits = _digits(text)
    for kind, (least, spans) in _NUMBERS.items():
        if digits >= least and kind in kinds:
            found += [Found(kind, *span) for span in spans(text)]
    if len(found) > 1:
        found.sort(key=lambda one: (one.start, -one.end))
        apart: list[Found] = []
        for one in found:
            if not apart or one.start >= apart[-1].end:
                apart.append(one)
        return apart
    return found


def mask(text: str, kinds: Collection[str]) -> tuple[str, dict[str, int]]:
    """The text with each find replaced by its kind ("[EMAIL]"), and how many there were of each."""
    found = find(text, kinds)
    if not found:
        return text, {}
    pieces, done = [], 0
    for one in found:
        pieces += [text[done : one.start], f"[{one.kind.upper()}]"]
        done = one.end
    return "".join([*pieces, text[done:]]), dict(Counter(one.kind for one in found))


def _digits(text: str) -> int:
    return len(text.encode("utf-8", "replace").translate(None, _NO_DIGITS))


_NO_DIGITS = bytes(code for code in range(256) if code not in b"0123456789")

_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_FILES = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "py", "md")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + 256)
        local = _LOCAL.search(text[max(at - 64, 0) : at]) if domain else None
        if domain and local and not domain[0].lower().endswith(_FILES_ENDINGS):
            name = local[0].lstrip(".'/=&?*`{|")
            if name and not name.endswith(".") and ".." not in name:
                yield at - len(name), domain.end()
        at = text.find("@", at + 1)


_FILES_ENDINGS = tuple(f".{ending}" for ending in _FILES)

_CARD = re.compile(
    r"(?:[0-9]{14,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})(?![\w-]|[.,][0-9])"
)
# Who issues cards by which first digits and of how many digits (ISO/IEC 7812).
_ISSUERS = re.compile(
    r"4(?:[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}|35[2-8][0-9]{13}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}"
    r"|62[0-9]{14,17}|(?:50|5[6-9]|6[0-9])[0-9]{10,17}|220[0-4][0-9]{12}"
)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text):
        digits = re.sub("[ -]", "", found[0])
        if _open(text, found.start()) and _ISSUERS.fullmatch(digits) and luhn(digits):
            yield found.span()


def _open(text: str, start: int, closed: str = ".,-") -> bool:
    """Whether what begins there is not the rest of a longer word or number. Asked afterwards: a
    pattern that begins with a digit is looked for ten times faster than one that looks behind."""
    before = text[start - 1 : start]
    return not (before.isalnum() or before == "_" or (before and before in closed))


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[0-9])")
_COLONS = re.compile(r":[0-9a-fA-F]{0,4}:")
_BEFORE, _AFTER = re.compile(r"[0-9a-fA-F:]*\Z"), re.compile(r"[0-9a-fA-F:]*")
# Four numbers with dots after such a word are no address.
_NUMBERED = re.compile(
    r"(?:\b(?:versions?|ver|v|release|build|firmware|section|chapter|clause|article|paragraph"
    r"|figure|fig|table|appendix|step|rule|oid|isbn)\b|§)[\s.:#=(]{0,3}\Z",
    re.IGNORECASE,
)


def _ips(text: str) -> Iterator[tuple[int, int]]:
    if text.count(".") >= 3:
        for found in _IPV4.finditer(text):
            before = text[max(found.start() - 16, 0) : found.start()]
            if (
                _open(text, found.start(), ".+-")
                and _is_ipv4(found[0])
                and not _NUMBERED.search(before)
            ):
                yield found.span()
    done = 0
    for found in _COLONS.finditer(text):
        if found.start() >= done:
            begin = max(found.start() - 40, done)
            ahead = _BEFORE.search(text[begin : found.start()])
            after = _AFTER.match(text, found.end(), found.end() + 40)
            start = found.start() - len(ahead[0] if ahead else "")
            done = after.end() if after else found.end()
            closed = not text[done : done + 1].isalnum()
            if closed and _open(text, start) and _is_ipv6(text[start:done]):
                yield start, done


def _is_ipv4(text: str) -> bool:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    # Those that are nobody's: this computer, everybody, a mask.
    return not (address.is_loopback or address.is_multicast or text.startswith(("0.", "255.")))


def _is_ipv6(text: str) -> bool:
    groups = [group for group in text.split(":") if group]
    if not any(sign.isdigit() for sign in text):
        return False
    if len(groups) < 3 and not text.lower().startswith(("fe80::", "2001:", "2a0", "fd", "fc")):
        return False  # std::a1 and the like
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_multicast or address.is_unspecified)


_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}(?=[ A-Z0-9])")
# Characters of each country's (SWIFT's IBAN registry, release 99).
IBAN_LENGTHS: dict[str, int] = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK", "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ DZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN_REST = re.compile(r"(?: ?[A-Z0-9])*")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(found[0][:2])
        if length is None or not _open(text, found.start(), "_"):
            continue
        rest = _IBAN_REST.match(text, found.end(), found.start() + 2 * length)
        end, count = found.start(), 0
        for sign in text[found.start() : rest.end() if rest else found.end()]:
            end += 1
            count += sign != " "
            if count == length:
                break
        whole = text[found.start() : end].replace(" ", "")
        closed = not text[end : end + 1].isalnum()
        if count == length and closed and iban(whole):
            yield found.start(), end


def iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616, mod 97-10 of ISO/IEC 7064)."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


_PHONE = re.compile(r"[0-9](?:[ ().\-/\u00a0\u2011]{0,3}[0-9]){6,16}(?![\w%+*=^]|[.,:/-][0-9])")
_GROUP = re.compile("[0-9]+")
_CALLED = re.compile(
    r"(?:\b(?:tel|telephone|phone|phones|call|calling|dial|mobile|cell|whatsapp|sms|text|fax|hotline"
    r"|ring|telefon|telefono|teléfono|téléphone|handy|mobil|móvil|celular|portable|appelez)\b"
    r"|电话|手机|電話|携帯|전화)[^0-9+\n]{0,20}\Z",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\s*(?:,|/|;|or|and|oder|und|ou|et|o|y)\s*")
_DATE = re.compile(
    r"(?:[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2}|[0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{4}|[0-9]{2}))"
    r"(?![0-9])"
)
_NATIONAL = re.compile(
    r"\([2-9][0-9]{2}\) ?[0-9]{3}[ .-][0-9]{4}"  # North America, with or without 1
    r"|(?:1[ .-])?\(?[2-9][0-9]{2}\)?([.-])[0-9]{3}\1[0-9]{4}"
    r"|0[1-9](?:([ .-])[0-9]{2})(?:\2[0-9]{2}){3}"  # France
    r"|\(?0[1-9][0-9]{1,4}\)?[ /-]{1,3}[0-9]{3,4}(?:[ -]?[0-9]{2,5}){1,3}"  # trunk 0, area, number
    r"|00[1-9][0-9]{0,2}[ /-][0-9](?:[ /-]?[0-9]){6,11}"  # 00 for +
)
_PLUS = re.compile(r"\(?\+[1-9][0-9]{0,2}\)?[ .\-/\u00a0]?(?:\(0\)[ ]?)?\(?[0-9]")


def _phones(text: str) -> Iterator[tuple[int, int]]:
    place = last = 0
    while found := _PHONE.search(text, place):
        start, end = found.span()
        start -= text[start - 1 : start] == "+"
        if found[0].count(")") > found[0].count("("):  # "(0", "(+", but not "(call 1)"
            start -= text[start - 1 : start] == "("
        meant = (
            _is_phone(text[start:end])
            or _CALLED.search(text[max(start - 32, 0) : start])
            or (last and _NEXT.fullmatch(text[last:start][:12]))
        )
        if meant and _open(text, start, ".,/$€£¥#%=+*^-") and not _DATE.match(found[0]):
            yield start, end
            place = last = end
            continue
        group = _GROUP.match(text, found.start())
        place = group.end() if group else end  # a number may stand before the one that is meant


def _is_phone(run: str) -> bool:
    digits = sum(sign.isdigit() for sign in run)
    if "+" in run:
        # 15 at most (ITU-T E.164); as many in one piece are rather a number with its sign.
        together = run.count(" ") + run.count("-") + run.count("(") + run.count(".") == 0
        return 8 <= digits <= (13 if together else 15) and bool(_PLUS.match(run))
    return 9 <= digits <= 14 and bool(_NATIONAL.fullmatch(run))


# How many digits a text has at least that holds one.
_NUMBERS: dict[str, tuple[int, Callable[[str], Iterator[tuple[int, int]]]]] = {
    "iban": (6, _ibans),
    "card": (14, _cards),
    "ip": (1, _ips),
    "phone": (7, _phones),
}
