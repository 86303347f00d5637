"""Ids of what is stored in great number."""

from __future__ import annotations

import os
import time

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_CHANCE = ~((0xF << 76) | (0b11 << 62))


def new_id() -> str:
    """Give a new UUID that begins with the time (version 7).

    Rows that are stored together lie together in an index, however large it is; with ids of mere
    chance each of them would read and write a page of its own.
    """
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    digits = f"{number & _CHANCE | _VERSION | _VARIANT:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
