"""Drawing progress: a picture that changes in place on a terminal, a line an event in a file."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Group as Rows
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from savanna_cli import words
from savanna_cli.progress import Mark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rich.console import Console, RenderableType

    from savanna_cli.progress import Group, Happening, Host, Progress

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_A_SECOND = 10
_SYMBOLS = {Mark.WAITING: "·", Mark.DONE: "✓", Mark.FAILED: "✗", Mark.SKIPPED: "-"}
_STYLES = {
    Mark.WAITING: "dim",
    Mark.RUNNING: "cyan",
    Mark.DONE: "green",
    Mark.FAILED: "red",
    Mark.SKIPPED: "dim",
}
_BAR = 24
_LEAST_HOSTS = 4
_EDGES = 7
"""Lines of the picture that are neither steps nor hosts."""


class Screen(Protocol):
    """Shows the progress of one operation."""

    def happened(self, happening: Happening) -> None:
        """Show that something happened."""

    def note(self, text: str) -> None:
        """Say something about the showing itself, for example that the connection was lost."""


@asynccontextmanager
async def screen(to: Console, progress: Progress, title: str) -> AsyncIterator[Screen]:
    """Show progress until the block ends; the last picture stays."""
    if not to.is_terminal:
        to.print(title)
        yield Lines(to, progress)
        return
    with Live(console=to, auto_refresh=False, transient=False) as live:
        picture = Picture(to, live, progress, title)
        drawing = asyncio.create_task(picture.draw_for_ever())
        try:
            yield picture
        finally:
            drawing.cancel()
            picture.draw(last=True)


class Lines:
    """A line an event: seconds, host, what."""

    def __init__(self, to: Console, progress: Progress) -> None:
        self._to = to
        self._progress = progress

    def happened(self, happening: Happening) -> None:
        """Write the line."""
        steps = self._progress.steps.values()
        width = max(map(len, (self._progress.name, *(each.host for each in steps))))
        text = happening.text
        if happening.seconds is not None:
            titles = max((len(each.title) for each in steps), default=0)
            text = f"{text:<{titles}}  {words.seconds(happening.seconds):>8}"
        self._to.print(f"{happening.at:7.1f} s  {happening.host:<{width}}  {text}")
        self._to.file.flush()

    def note(self, text: str) -> None:
        """Write it."""
        self._to.print(f"{'':9}  {text}")
        self._to.file.flush()


class Picture:
    """Bars by title, and a line for each host."""

    def __init__(self, to: Console, live: Live, progress: Progress, title: str) -> None:
        self._to = to
        self._live = live
        self._progress = progress
        self._title = title
        self._note = ""

    def happened(self, happening: Happening) -> None:
        """See it in the next frame; what went wrong stays above the picture."""
        self._note = ""
        if happening.mark is Mark.FAILED and not self._progress.outcome:
            line = Text.assemble(("! ", "yellow"), (happening.host, "bold"), f"  {happening.text}")
            self._live.console.print(line)

    def note(self, text: str) -> None:
        """Show it until something happens."""
        self._note = text

    async def draw_for_ever(self) -> None:
        """Draw frame after frame."""
        while True:
            self.draw()
            await asyncio.sleep(1 / _FRAMES_A_SECOND)

    def draw(self, *, last: bool = False) -> None:
        """Draw one frame."""
        self._live.update(self._frame(time.time(), last=last), refresh=True)

    def _frame(self, now: float, *, last: bool) -> RenderableType:
        frame = _FRAMES[int(now * _FRAMES_A_SECOND) % len(_FRAMES)]
        groups, hosts = self._progress.groups(now), self._progress.hosts(now)
        room = max(_LEAST_HOSTS, self._to.height - len(groups) - _EDGES)
        shown = hosts if last and len(hosts) <= room else _most_telling(hosts, room)
        parts: list[RenderableType] = [self._head(now), Text(), _bars(groups, frame)]
        if shown:
            parts += [Text(), _host_lines(shown, frame)]
        if len(hosts) > len(shown):
            parts.append(Text(f"  and {len(hosts) - len(shown)} more hosts", style="dim"))
        if self._note:
            parts.append(Text(f"  {self._note}", style="yellow"))
        parts.append(Text())
        return Rows(*parts)

    def _head(self, now: float) -> RenderableType:
        head = Table.grid(expand=True)
        head.add_column()
        head.add_column(justify="right")
        state = Text(self._progress.state, style=words.style_of(self._progress.state))
        state.append(f"   {words.seconds(self._progress.elapsed(now))}", style="bold")
        head.add_row(Text(self._title, style="bold"), state)
        return head


def _bars(groups: Sequence[Group], frame: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(min_width=32, max_width=46, no_wrap=True, overflow="ellipsis")
    table.add_column(width=_BAR)
    table.add_column(justify="right")
    table.add_column(justify="right", min_width=8)
    for each in groups:
        table.add_row(
            _symbol(each.mark, frame),
            Text(each.title, style="dim" if each.mark is Mark.WAITING else ""),
            _bar(each),
            Text(f"{each.done}/{each.total}", style="dim"),
            Text(words.seconds(each.seconds) if each.seconds else "", style="dim"),
        )
    return table


def _bar(group: Group) -> ProgressBar:
    style = {Mark.FAILED: "red", Mark.DONE: "green"}.get(group.mark, "cyan")
    return ProgressBar(
        total=group.total,
        completed=group.done,
        width=_BAR,
        complete_style=style,
        finished_style=style,
    )


def _host_lines(hosts: Sequence[Host], frame: str) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", min_width=8)
    for each in hosts:
        table.add_row(
            _symbol(each.mark, frame),
            Text(each.name),
            Text(each.title, style="dim"),
            Text(words.seconds(each.seconds) if each.seconds else "", style="dim"),
        )
    return table


def _most_telling(hosts: Sequence[Host], room: int) -> list[Host]:
    """Choose the hosts to show when not all fit: trouble and work first, in their usual order."""
    order = (Mark.FAILED, Mark.RUNNING, Mark.WAITING, Mark.DONE, Mark.SKIPPED)
    ranked = sorted(hosts, key=lambda each: order.index(each.mark))[:room]
    chosen = {each.name for each in ranked}
    return [each for each in hosts if each.name in chosen]


def _symbol(mark: Mark, frame: str) -> Text:
    return Text(frame if mark is Mark.RUNNING else _SYMBOLS[mark], style=_STYLES[mark])
