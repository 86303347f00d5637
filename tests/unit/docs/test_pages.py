"""What the pages say is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SKIPPED = {".venv", ".git", ".savanna", "node_modules"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.M | re.S)
WALKED = re.compile(r"\]\((\S+\.py)\)\s+→\s+((?:`[\w.]+`(?:,\s+)?)+)")
"""A link to a file, an arrow, and names in it."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def anchors(path: Path) -> frozenset[str]:
    """Name the headings of a page as links do."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.M)
    return frozenset(
        re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings
    )


def broken(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    if not path.exists():
        return True
    return bool(anchor) and anchor not in anchors(path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [each for each in LINK.findall(FENCE.sub("", page.read_text())) if "://" not in each]
    assert [each for each in links if broken(page, each)] == []


def defined(names: list[str], text: str) -> list[str]:
    """Give the names that a file does not define: functions, classes, methods, constants."""
    parts = [part for name in names for part in name.split(".")]
    return [
        part
        for part in parts
        if not re.search(rf"^\s*(?:async )?(?:def|class) {part}\b|^{part}\b.*=", text, re.M)
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_function_that_a_page_walks_through_is_in_its_file(page: Path) -> None:
    missing = [
        (link, name)
        for link, names in WALKED.findall(page.read_text())
        for name in defined(
            re.findall(r"`([\w.]+)`", names), (page.parent / link).resolve().read_text()
        )
    ]
    assert missing == []


def test_the_walk_names_functions_at_all() -> None:
    assert len(WALKED.findall((ROOT / "ARCHITECTURE.md").read_text())) > 20


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / each.partition("#")[0]).resolve() for each in links_of(index)}
    pages = [page for page in PAGES if page.is_relative_to(ROOT / "docs") and page != index]
    assert [name_of(page) for page in pages if page not in linked] == []


def links_of(page: Path) -> list[str]:
    return [each for each in LINK.findall(FENCE.sub("", page.read_text())) if "://" not in each]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_that_a_page_names_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|\$ |&& )make ([a-z-]+)", page.read_text()))
    assert named - targets == set()


def test_the_page_of_settings_is_up_to_date() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "settings_page"), "--check"]
    checked = subprocess.run(tool, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_page_of_metrics_is_up_to_date_and_leaves_none_out() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "metrics_page"), "--check"]
    checked = subprocess.run(tool, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    page = (ROOT / "docs" / "metrics.md").read_text()
    told = re.findall(r"^\| `(savanna_\w+)` \|", page, re.M)
    sources = [*ROOT.glob("services/*/src/*/*.py"), *ROOT.glob("libs/*/src/*/*.py")]
    declaration = re.compile(r'(?:Gauge|Total|Counter|Histogram)\(\s*"(\w+)"')
    declared = [each for path in sources for each in declaration.findall(path.read_text())]
    assert sorted(told) == sorted(declared)


def test_every_metric_that_a_page_or_the_dashboard_names_is_declared() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    declared = set(re.findall(r"^\| `(savanna_\w+)` \|", page, re.M))
    howto = ROOT / "docs" / "howto" / "read-the-status.md"
    dashboard = ROOT / "deploy" / "grafana" / "savanna.json"
    json.loads(dashboard.read_text())
    for path in (howto, dashboard):
        named = re.findall(r"\bsavanna_\w+", path.read_text())
        plain = {re.sub(r"_(?:bucket|count|sum)$", "", each) for each in named}
        assert plain - declared - {"savanna_"} == set()


def test_every_service_has_its_settings_on_the_page() -> None:
    sources = [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    prefixes = {
        each for path in sources for each in re.findall(r'= prefixed\("(\w+)"\)', path.read_text())
    }
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [each for each in sorted(prefixes) if f"\n## SAVANNA_{each}_*\n" not in page] == []


def test_the_ports_of_the_architecture_are_the_defaults() -> None:
    told = set(re.findall(r"\| (83\d\d) \|", (ROOT / "ARCHITECTURE.md").read_text()))
    page = (ROOT / "docs" / "settings.md").read_text()
    set_by_default = set(re.findall(r"_LISTEN` \| `127\.0\.0\.1:(83\d\d)`", page))
    assert told == set_by_default


def test_pages_of_code_comments_are_there() -> None:
    named = re.compile(r"\bdocs/[\w/.-]+\.md\b")
    files = [
        path
        for folder in ("libs", "services", "plugins", "protos/savanna", "tests", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".proto", ".sh", ""} and path.is_file()
    ]
    missing = {
        (name_of(path), each)
        for path in files
        if "__pycache__" not in path.parts
        for each in named.findall(path.read_text(errors="replace"))
        if not (ROOT / each).exists()
    }
    assert missing == set()


def test_every_reason_of_a_failed_step_is_explained() -> None:
    page = (ROOT / "docs" / "howto" / "debug-an-operation.md").read_text()
    sources = [
        path
        for room in ("engine", "scheduler")
        for path in (ROOT / "services" / room / "src").rglob("*.py")
    ]
    reasons = {
        each
        for path in sources
        for each in re.findall(r'\breason ?= ?"([A-Z_]+)"', path.read_text())
    }
    # Not of steps: said to engines on their stream, and to operators who remove orphans.
    others = {"SESSION_OVER", "NOT_AN_ORPHAN"}
    unexplained = {each for each in reasons if f"`{each}`" not in page} - others
    assert unexplained == set()
