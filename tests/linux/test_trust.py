"""The runtime directory: created private to its owner, and refused if another user could replace it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefork._errors import SystemFailure
from prefork._master.paths.trust import why_not_private
from prefork._master.runtime.directory import directory_for

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create files of another user")


def at(path: Path) -> str:
    return directory_for("d", {"RUNTIME_DIRECTORY": str(path)})


def refused(path: Path) -> str:
    with pytest.raises(SystemFailure) as raised:
        at(path)
    return str(raised.value)


def test_directory_is_created_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert at(tmp_path / "a" / "b" / "c") == str(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    modes = [(tmp_path / path).stat().st_mode & 0o7777 for path in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o700]
    assert at(tmp_path / "a" / "b" / "c")  # An existing one is kept.


def test_directory_writable_by_others_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o770)
    assert refused(place).endswith(f"is not private: other users can write to it (mode 0770): chmod go-w {place}")


def test_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "it is not a directory" in refused(tmp_path / "file")
    assert "Not a directory" in refused(tmp_path / "file" / "below")


def test_link_is_refused_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert f"it is a symbolic link: use the directory itself ({tmp_path / 'real'})" in refused(tmp_path / "link")
    assert why_not_private(str(tmp_path / "real")) is None


def test_own_link_in_the_path_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert at(tmp_path / "link" / "below")


def test_parent_writable_by_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    said = refused(tmp_path / "open" / "ours")
    assert f"other users can write to its parent {tmp_path / 'open'} (mode 0777) and replace it" in said
    (tmp_path / "open").chmod(0o1777)  # As /tmp: other users cannot rename our files there.
    assert at(tmp_path / "open" / "ours")


def test_link_through_a_writable_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "open" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "entry").symlink_to("open/link")
    (tmp_path / "open").chmod(0o777)
    assert f"other users can write to its parent {tmp_path / 'open'}" in refused(tmp_path / "entry" / "below")


def test_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert "cannot create" in refused(tmp_path / "one" / "below")


@needs_root
def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    assert "it belongs to nobody (uid 65534), not to root (uid 0)" in refused(place)
    said = refused(place / "below")
    assert f"its parent {place} belongs to nobody (uid 65534), who could replace it" in said


@needs_root
def test_link_of_another_user_in_the_path_is_refused(tmp_path: Path) -> None:
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    (tmp_path / "real").mkdir(mode=0o700)
    (sticky / "link").symlink_to(tmp_path / "real")
    os.chown(sticky / "link", NOBODY, NOBODY, follow_symlinks=False)
    said = refused(sticky / "link" / "below")  # The kernel refuses it already if fs.protected_symlinks is on.
    assert f"its parent {sticky / 'link'} belongs to nobody" in said or "Permission denied" in said


def test_host_root_is_trusted_in_a_user_namespace(tmp_path: Path) -> None:
    code = f"from prefork._master.paths.trust import why_not_private; print(why_not_private({str(tmp_path)!r}))"
    tmp_path.chmod(0o700)
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "unshare" in done.stderr:
        pytest.skip("no user namespace is available")
    assert done.stdout.strip() == "None", done.stderr
