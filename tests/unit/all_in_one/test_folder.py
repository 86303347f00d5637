"""A data directory keeps what it holds to one process and one user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna_all_in_one.compose import prepare_database
from savanna_all_in_one.folder import DataFolder
from savanna_all_in_one.settings import default_data_dir
from savanna_kit.errors import FailedPrecondition, NotFound

if TYPE_CHECKING:
    from pathlib import Path


def test_one_process_at_a_time_is_in(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    refused = pytest.raises(FailedPrecondition, match="another process uses")
    with folder.held(), refused, folder.held():
        pass
    with folder.held():
        pass


def test_a_folder_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="can not be used"), DataFolder(tmp_path / "no").held():
        pass
    assert not (tmp_path / "no").exists()


def test_others_read_nothing_also_where_they_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = DataFolder(tmp_path)
    folder.make()
    prepare_database(folder)
    with folder.sockets() as sockets:
        assert sockets.stat().st_mode & 0o777 == 0o700
    files = [each for each in tmp_path.iterdir() if each.is_file()]
    assert {each.name: each.stat().st_mode & 0o077 for each in files} == {
        each.name: 0 for each in files
    }
    assert folder.database in files


def test_sockets_are_gone_at_the_end_and_their_path_is_never_too_long(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / ("x" * 90)):
        folder = DataFolder(path)
        folder.make()
        with folder.sockets() as sockets:
            assert len(f"{sockets}/plugin-spark".encode()) < 107
        assert not sockets.exists()


def test_data_lies_where_the_user_keeps_data() -> None:
    assert default_data_dir().name == "savanna"
    assert default_data_dir().is_absolute()
