"""The folder of SSH servers is there while a cloud has hosts, and stays only where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_engine.cloud.local import sshd_folder
from savanna_engine.cloud.local.records import Records

if TYPE_CHECKING:
    from pathlib import Path


def test_the_folder_goes_with_the_last_host_of_the_cloud_that_made_it(tmp_path: Path) -> None:
    place, records = tmp_path / "sshd", Records(tmp_path / "cloud")
    with records.begun("host") as folder:
        sshd_folder.use(records, place)
        sshd_folder.leave(records, place)
        assert place.is_dir()
        folder.rmdir()
    sshd_folder.leave(records, place)
    assert not place.exists()
    sshd_folder.leave(records, place)


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    place, records = tmp_path / "sshd", Records(tmp_path / "cloud")
    place.mkdir()
    sshd_folder.use(records, place)
    assert list(place.iterdir()) == []
    sshd_folder.leave(records, place)
    assert place.is_dir()


def test_two_clouds_share_the_folder_until_both_have_gone(tmp_path: Path) -> None:
    place = tmp_path / "sshd"
    one, other = Records(tmp_path / "one"), Records(tmp_path / "other")
    for each in (one, other, one):
        sshd_folder.use(each, place)
    sshd_folder.leave(one, place)
    assert place.is_dir()
    sshd_folder.leave(other, place)
    assert not place.exists()
