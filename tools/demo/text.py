"""The text of the demo: licences and descriptions of everything that Savanna stands on.

It is real, it is more than a megabyte, and every clone has it once it is set up.
"""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

_TEXTS = re.compile(r".*/(METADATA|LICEN[CS]E[^/]*|NOTICE[^/]*|AUTHORS[^/]*)", re.IGNORECASE)
LEAST_BYTES = 1_000_000


def write_text(path: Path) -> int:
    """Write the text; gives its size in bytes."""
    with path.open("w") as stream:
        for each in sorted(distributions(), key=lambda each: each.name.lower()):
            for file in sorted(each.files or (), key=str):
                if _TEXTS.fullmatch(str(file)):
                    stream.write(Path(str(file.locate())).read_text(errors="replace"))
                    stream.write("\n")
    size = path.stat().st_size
    if size < LEAST_BYTES:
        raise RuntimeError(f"the packages of this clone hold {size} bytes of text only")
    path.chmod(0o644)
    return size


def count_words(path: Path) -> list[tuple[int, str]]:
    """Count without Spark: the ten words that come most often, as the program prints them."""
    counts = Counter(re.findall(r"[a-z]+", path.read_text().lower()))
    best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
    return [(count, word) for word, count in best]
