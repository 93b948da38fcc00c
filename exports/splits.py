"""Which side of the split a conversation falls on. Pure.

A hash of the conversation's root with the workspace's salt is a point on the axis from 0 to 1. The
axis is cut test, validation, train in this order: data that grows changes no side, and a changed
fraction moves only a border. Every dataset of a workspace cuts the same axis.
"""

import hashlib

SPLITS = ("train", "validation", "test")


def point(root_key: str, salt: str) -> float:
    """Where on the axis, 0 to just below 1."""
    digest = hashlib.blake2b(f"{salt}\x1f{root_key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: a float below 1, always


def split(root_key: str, salt: str, test: float, validation: float) -> str:
    """`test` and `validation` are shares of 1; the rest is train."""
    place = point(root_key, salt)
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"
