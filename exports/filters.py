"""What a look's rows are narrowed to, as it stands in a page's address. Pure.

Several facets must all hold; of one facet any of the chosen values. `?language=en&language=de` are
terms, `?length.from=20&length.to=400` a range, both ends included, `?q=a phrase` what a text must
hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol, Self
from urllib.parse import urlencode

SHOWS = {"kept": "kept", "dropped": "left out", "all": "all"}
PHRASE = "q"
LONGEST = 200  # letters of a phrase
LIMIT = 2**31 - 1  # what a column of whole numbers holds
EPOCH = date(1970, 1, 1).toordinal()
Range = tuple[int | None, int | None]


class Sent(Protocol):
    """The part of a QueryDict that is read here."""

    def getlist(self, key: str) -> list[str]: ...
    def __contains__(self, key: str, /) -> bool: ...


@dataclass(frozen=True)
class Filters:
    """`terms`: {facet: values}; `ranges`: {facet: (from, to)}, either of them open."""

    show: str = "kept"
    terms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    phrase: str = ""

    @classmethod
    def read(cls, sent: Sent, kinds: Mapping[str, str]) -> Self:
        """From an address; `kinds`: {facet: "terms", "number" or "day"}. What cannot be meant is
        left out."""
        show = (sent.getlist("show") or ["kept"])[-1]
        terms, ranges = {}, {}
        for name, kind in kinds.items():
            if kind == "terms":
                if name in sent:
                    terms[name] = frozenset(sent.getlist(name)[:100])
                continue
            read = _day if kind == "day" else _whole
            low, high = (read(sent.getlist(f"{name}.{end}")) for end in ("from", "to"))
            if low is not None or high is not None:
                ranges[name] = (low, high)
        typed = (sent.getlist(PHRASE) or [""])[-1].encode("utf-8", "replace").decode()
        phrase = typed.strip()[:LONGEST].strip()
        return cls(show if show in SHOWS else "kept", terms, ranges, phrase)

    def pairs(self, but: str = "") -> list[tuple[str, str]]:
        """As names and values of an address, in a fixed order; without those of a facet `but`."""
        found = [("show", self.show)] if self.show != "kept" else []
        found += [(PHRASE, self.phrase)] if self.phrase and but != PHRASE else []
        for name in sorted(self.terms):
            found += [(name, value) for value in sorted(self.terms[name]) if name != but]
        for name in sorted(self.ranges):
            ends = zip(("from", "to"), self.ranges[name], strict=True)
            found += [(f"{name}.{end}", str(n)) for end, n in ends if n is not None and name != but]
        return found

    def query(self, **more: str) -> str:
        """The address's query."""
        return urlencode([*self.pairs(), *more.items()])

    def showing(self, show: str) -> Self:
        return replace(self, show=show)

    def toggled(self, name: str, value: str) -> Self:
        """With this value chosen, or no longer."""
        chosen = self.terms.get(name, frozenset()) ^ {value}
        terms = {key: values for key, values in self.terms.items() if key != name}
        return replace(self, terms=terms | ({name: chosen} if chosen else {}))

    def within(self, name: str, low: int | None, high: int | None) -> Self:
        return replace(self, ranges={**self.ranges, name: (low, high)})

    def without(self, name: str) -> Self:
        return replace(
            self,
            terms={key: values for key, values in self.terms.items() if key != name},
            ranges={key: ends for key, ends in self.ranges.items() if key != name},
        )

    def active(self) -> set[str]:
        """The facets that narrow."""
        return {*self.terms, *self.ranges}


def _day(sent: Iterable[str]) -> int | None:
    """A date, or a number of days since 1970."""
    sent = list(sent)
    try:
        return date.fromisoformat(next(iter(sent), "").strip()).toordinal() - EPOCH
    except ValueError:
        return _whole(sent)


def _whole(sent: Iterable[str]) -> int | None:
    text = next(iter(sent), "").strip()
    number = text.removeprefix("-")
    if not (number.isascii() and number.isdigit() and len(number) <= 10):
        return None
    return max(-LIMIT, min(LIMIT, int(text)))
