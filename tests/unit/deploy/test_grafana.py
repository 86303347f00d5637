"""The dashboard names what is measured, and asks for it as its kind allows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "savanna.json").read_text())
ROW = re.compile(r"^\| `(savanna_\w+)` \| (\w+) \| ([^|]*)\|", re.M)
NAME = re.compile(r"\bsavanna_\w+")
SUFFIX = re.compile(r"_(?:bucket|count|sum)$")
OF_PROMETHEUS = {"instance", "job", "le"}
OF_EVERY_PROCESS = {"process_resident_memory_bytes"}


def measured() -> dict[str, tuple[str, set[str]]]:
    """Give kind and labels of every metric, by name; a test of the pages holds them to the code."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    return {
        name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in ROW.findall(page)
    }


def panels() -> list[dict[str, Any]]:
    return [each for each in DASHBOARD["panels"] if each["type"] != "row"]


def questions() -> list[tuple[str, str]]:
    """List what is asked of Prometheus, each with the words below its graph."""
    return [(each["expr"], each["legendFormat"]) for one in panels() for each in one["targets"]]


def test_every_metric_that_is_asked_for_is_measured_and_is_of_that_kind() -> None:
    known = measured()
    for asked, _ in questions():
        names = NAME.findall(asked)
        assert names or any(each in asked for each in OF_EVERY_PROCESS), asked
        for name in names:
            kind, _ = known[SUFFIX.sub("", name)]
            assert (kind == "histogram") == bool(SUFFIX.search(name)), asked
            # Only what grows has a rate, and what grows has nothing else.
            grows = f"rate({name}" in asked or f"increase({name}" in asked
            assert grows == (kind != "gauge"), asked


def test_every_label_that_is_asked_for_is_there() -> None:
    known = measured()
    for asked, legend in questions():
        labels = set().union(*(known[SUFFIX.sub("", name)][1] for name in NAME.findall(asked)))
        by = {each for group in re.findall(r"by \(([^)]*)\)", asked) for each in group.split(", ")}
        chosen = set(re.findall(r"[{,]\s*(\w+)\s*[!=]", asked))
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert by | chosen | shown <= labels | OF_PROMETHEUS, asked
        assert shown <= by | {"instance"}, asked


def test_the_four_figures_of_the_first_page_are_there() -> None:
    asked = " ".join(each for each, _ in questions())
    for name in (
        "savanna_api_requests_total",
        "savanna_clusters_launching",
        "savanna_cluster_creation_seconds",
        "savanna_cluster_creation_without_boot_seconds",
    ):
        assert name in asked


def test_nothing_lies_on_top_of_another_and_all_asks_the_chosen_source() -> None:
    taken: set[tuple[int, int]] = set()
    for each in DASHBOARD["panels"]:
        at = each["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    sources = [each["datasource"]["uid"] for one in panels() for each in one["targets"]]
    assert set(sources) == {"${source}"}
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("source", "datasource")
