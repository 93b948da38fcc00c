"""The one exception of this app: an act that is refused, in words for the person who asked."""


class Refused(Exception):
    """Says what was refused, why, and what to do instead. Pages show it, the API answers 400."""
