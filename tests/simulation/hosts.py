"""What runs on hosts, and the guard that ``far_side.sh`` is there: one run of a step at a time, a
lower epoch refused, a higher one first stops the older."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import World

    Answer = Callable[[int | None], None]
    """Takes an exit code; None when the caller's attempt is not the newest."""

STOPPED = 143


@dataclass
class _Folder:
    """What a host knows of a step."""

    task_id: str
    fence: int = 0
    """The highest epoch that has asked."""

    epoch: int = 0
    """The epoch whose run counts; 0 when nothing ever ran."""

    code: int | None = None
    """Its exit code; None while it runs."""

    is_locked: bool = False
    queue: list[Callable[[], None]] = field(default_factory=list)
    waiting: list[tuple[int, Answer]] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.epoch > 0 and self.code is None


class Hosts:
    """All hosts; a command goes on when the engine that began it is dead."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folders: dict[str, _Folder] = {}

    def run(self, task_id: str, epoch: int, answer: Answer) -> None:
        """Start a step's command or find it; answer at its end."""
        folder = self._folder(task_id, epoch)
        self._when_free(folder, partial(self._run, folder, epoch, answer))

    def stop(self, task_id: str, epoch: int, answer: Answer) -> None:
        """Stop a step's command, and keep that of an older attempt from beginning; answer then."""
        folder = self._folder(task_id, epoch)
        self._when_free(folder, partial(self._stop, folder, epoch, answer))

    def _folder(self, task_id: str, epoch: int) -> _Folder:
        name = task_id if self._world.faults.guards_hosts else f"{task_id}/{epoch}"
        return self._folders.setdefault(name, _Folder(task_id))

    def _run(self, folder: _Folder, epoch: int, answer: Answer) -> None:
        if epoch < folder.fence:
            answer(None)
            return
        if epoch == folder.fence:
            self._await(folder, epoch, answer)
        elif folder.is_running:
            self._end_session(folder, partial(self._launch, folder, epoch, answer))
        else:
            self._launch(folder, epoch, answer)

    def _await(self, folder: _Folder, epoch: int, answer: Answer) -> None:
        if folder.code is not None:
            answer(folder.code)
        else:
            folder.waiting.append((epoch, answer))

    def _launch(self, folder: _Folder, epoch: int, answer: Answer) -> None:
        folder.fence = folder.epoch = epoch
        folder.code = None
        self._world.checker.host_began(folder.task_id, epoch)
        self._await(folder, epoch, answer)
        code = self._world.chance.choices((0, 1, 75), (80, 10, 10))[0]
        self._world.after(self._world.effort(), partial(self._ran, folder, epoch, code))

    def _ran(self, folder: _Folder, epoch: int, code: int) -> None:
        if folder.epoch == epoch and folder.is_running:
            self._ended(folder, code)

    def _ended(self, folder: _Folder, code: int) -> None:
        folder.code = code
        self._world.checker.host_ended(folder.task_id, folder.epoch)
        waiting, folder.waiting = folder.waiting, []
        for epoch, answer in waiting:
            answer(code if epoch >= folder.fence else None)

    def _stop(self, folder: _Folder, epoch: int, answer: Answer) -> None:
        if epoch < folder.fence:
            answer(None)
            return
        folder.fence = epoch
        if not folder.epoch:
            # Its start may still be on the way: it finds that it has been stopped.
            folder.epoch, folder.code = epoch, STOPPED
        if folder.is_running:
            self._end_session(folder, lambda: answer(STOPPED))
        else:
            answer(folder.code)

    def _end_session(self, folder: _Folder, then: Callable[[], None]) -> None:
        """Ask its processes to end; they may take their time."""
        folder.is_locked = True

        def gone() -> None:
            if folder.is_running:
                self._ended(folder, STOPPED)
            folder.is_locked = False
            then()
            queue, folder.queue = folder.queue, []
            for do in queue:
                self._when_free(folder, do)

        self._world.after(self._world.chance.uniform(0.0, 0.5), gone)

    def _when_free(self, folder: _Folder, do: Callable[[], None]) -> None:
        if folder.is_locked:
            folder.queue.append(do)
        else:
            do()
