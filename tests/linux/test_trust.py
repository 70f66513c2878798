"""The runtime directory: made for its owner alone, and refused where somebody else could exchange it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefork._errors import SystemFailure
from prefork._master.runtime.directory import directory_for
from prefork._master.runtime.trust import why_not_private

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


def at(path: Path) -> str:
    return directory_for("d", {"RUNTIME_DIRECTORY": str(path)})


def refused(path: Path) -> str:
    with pytest.raises(SystemFailure) as raised:
        at(path)
    return str(raised.value)


def test_it_is_made_for_us_alone_whatever_the_mask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert at(tmp_path / "a" / "b" / "c") == str(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    modes = [(tmp_path / path).stat().st_mode & 0o7777 for path in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o700]
    assert at(tmp_path / "a" / "b" / "c")  # One that is there is as good.


def test_what_others_may_write_to_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o770)
    assert refused(place).endswith(f"is not ours alone: others may write there (mode 0770): chmod go-w {place}")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "it is no directory" in refused(tmp_path / "file")
    assert "cannot be made: Not a directory" in refused(tmp_path / "file" / "below")


def test_a_link_is_refused_and_said_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert f"it is a symbolic link: name the directory itself ({tmp_path / 'real'})" in refused(tmp_path / "link")
    assert why_not_private(str(tmp_path / "real")) is None


def test_a_link_of_our_own_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert at(tmp_path / "link" / "below")


def test_a_directory_on_the_way_that_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    said = refused(tmp_path / "open" / "ours")
    assert f"others may write to {tmp_path / 'open'}, on the way to it (mode 0777)" in said
    (tmp_path / "open").chmod(0o1777)  # As in /tmp: what is ours there nobody else can rename.
    assert at(tmp_path / "open" / "ours")


def test_links_that_lead_through_such_a_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "open" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "entry").symlink_to("open/link")
    (tmp_path / "open").chmod(0o777)
    assert f"others may write to {tmp_path / 'open'}" in refused(tmp_path / "entry" / "below")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert "cannot be made" in refused(tmp_path / "one" / "below")


@needs_root
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    assert "it belongs to nobody (uid 65534), and this is root (uid 0)" in refused(place)
    said = refused(place / "below")
    assert f"{place}, on the way to it, belongs to nobody (uid 65534), who could put another one in its place" in said


@needs_root
def test_a_link_of_somebody_else_on_the_way_is_refused(tmp_path: Path) -> None:
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    (tmp_path / "real").mkdir(mode=0o700)
    (sticky / "link").symlink_to(tmp_path / "real")
    os.chown(sticky / "link", NOBODY, NOBODY, follow_symlinks=False)
    said = refused(sticky / "link" / "below")  # By the kernel already, where fs.protected_symlinks is on.
    assert f"{sticky / 'link'}, on the way to it, belongs to nobody" in said or "Permission denied" in said


def test_in_a_user_namespace_the_machine_s_root_is_nobody_to_fear(tmp_path: Path) -> None:
    code = f"from prefork._master.runtime.trust import why_not_private; print(why_not_private({str(tmp_path)!r}))"
    tmp_path.chmod(0o700)
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "unshare" in done.stderr:
        pytest.skip("no user namespace can be had here")
    assert done.stdout.strip() == "None", done.stderr
