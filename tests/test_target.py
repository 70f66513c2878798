"""What is to be run, as people write it, and what of it is found."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork import SystemFailure, UsageError
from prefork._mold.environment.search_path import search_first
from prefork._mold.target.find import find
from prefork._options.target import Target, daemon_name, parse


def test_a_module_with_and_without_a_name() -> None:
    assert parse("shop", "/srv") == Target("shop", "shop", "", "/srv")
    assert parse("shop.web:app", "/srv") == Target("shop.web:app", "shop.web", "app", "/srv")
    assert parse("shop:Site.app", "/srv").attribute == "Site.app"
    assert parse("shop:create_app()", "/srv").attribute == "create_app"


def test_a_file_is_imported_as_the_module_that_it_is(tmp_path: Path) -> None:
    web = tmp_path / "shop" / "views" / "web.py"
    web.parent.mkdir(parents=True)
    web.touch()
    assert parse("shop/views/web.py:app", str(tmp_path)) == Target(
        "shop/views/web.py:app", "web", "app", str(web.parent), str(web)
    )
    (tmp_path / "shop" / "__init__.py").touch()
    (web.parent / "__init__.py").touch()
    assert parse("shop/views/web.py", str(tmp_path)) == Target(
        "shop/views/web.py", "shop.views.web", "", str(tmp_path), str(web)
    )
    assert parse(f"{web.parent}/__init__.py", "/").module == "shop.views"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("shop:", "give MODULE, MODULE:NAME or path/to/file.py"),
        (":app", "give MODULE, MODULE:NAME or path/to/file.py"),
        ("shop:app:more", "give MODULE, MODULE:NAME or path/to/file.py"),
        ("shop:1", "give MODULE, MODULE:NAME or path/to/file.py"),
        ("shop:create_app(1)", "give MODULE, MODULE:NAME or path/to/file.py"),
        ("shop..web", "'shop..web' is not a module's name"),
        ("..", "'..' is not a module's name"),
        ("../", "is a directory: name a file in it, or a module"),
    ],
)
def test_what_is_no_target_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, str(tmp_path))
    assert why in str(refused.value)


@pytest.mark.parametrize("text", ["none.py", "./shop", "none.py:app"])
def test_a_file_that_is_not_there_is_no_misuse(tmp_path: Path, text: str) -> None:
    with pytest.raises(SystemFailure, match="there is no file "):
        parse(text, str(tmp_path))


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path: Path) -> None:
    folder, user = tmp_path / "closed", os.geteuid()
    folder.mkdir()
    (folder / "shop.py").touch()
    folder.chmod(0)
    if user == 0:  # Who may read all.
        os.seteuid(65534)
    try:
        with pytest.raises(SystemFailure, match=r"closed/shop.py cannot be read: Permission denied"):
            parse("closed/shop.py:app", str(tmp_path))
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop:app", "shop"),
        ("shop.wsgi:application", "shop"),
        ("shop.web:app", "shop"),
        ("main:app", "corner-shop"),
        ("app", "corner-shop"),
        ("app.main:app", "corner-shop"),
        ("src.shop.main:app", "shop"),
    ],
)
def test_a_daemon_is_called_after_what_says_most(text: str, name: str) -> None:
    assert daemon_name(text, "/srv/corner shop") == name


def test_a_daemon_in_a_folder_without_a_name_has_one() -> None:
    assert daemon_name("main:app", "/") == "daemon"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before, modules = sys.path[:], set(sys.modules)
    sys.path.insert(0, "")
    search_first(str(tmp_path))
    yield tmp_path
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def found(text: str, folder: Path) -> object:
    return find(parse(text, str(folder)))


def test_a_module_is_searched_for_what_can_be_run(folder: Path) -> None:
    (folder / "one_app.py").write_text("create_app = 1\napp = 2\n")
    (folder / "one_factory.py").write_text("def create_app(): pass\n")
    (folder / "one_daemon.py").write_text("app = 1\ndaemon = 3\n")
    (folder / "nothing.py").write_text("api = 1\n")
    assert found("one_app", folder) == 2
    assert callable(found("one_factory", folder))
    assert found("one_daemon", folder) == 3
    with pytest.raises(UsageError, match=r"has none of daemon, app, application and create_app\(\).*nothing:NAME"):
        found("nothing", folder)


def test_dotted_names_are_found_and_misspelt_ones_answered(folder: Path) -> None:
    (folder / "dotted.py").write_text("class Site:\n    application = 7\n")
    assert found("dotted:Site.application", folder) == 7
    with pytest.raises(UsageError, match=r"the module dotted has no site: did you mean Site\?"):
        found("dotted:site", folder)
    with pytest.raises(UsageError, match=r"type has no aplication: did you mean application\?"):
        found("dotted:Site.aplication", folder)
    (folder / "usual.py").write_text("app = 7\n")
    with pytest.raises(UsageError, match=r"the module usual has no application: did you mean app\?"):
        found("usual:application", folder)


def test_module_from_elsewhere_is_named_with_its_file(folder: Path) -> None:
    (folder / "site.py").write_text("app = 1\n")  # Python has imported its own.
    with pytest.raises(UsageError, match=r"the module site \(.*/site\.py\) has no app$"):
        found("site:app", folder)


def test_missing_module_is_told_from_one_that_it_lacks(folder: Path) -> None:
    (folder / "lacking.py").write_text("import no_such_module_at_all\n")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    with pytest.raises(UsageError, match=r"there is no module lackin: neither in .* did you mean lacking\?"):
        found("lackin", folder)
    with pytest.raises(UsageError, match=r"there is no module package\.web"):
        found("package.web", folder)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        found("lacking", folder)


def test_a_file_with_the_name_of_another_module_is_refused(folder: Path) -> None:
    (folder / "json.py").write_text("app = 1\n")
    with pytest.raises(UsageError, match=r"json\.py cannot be imported: json is the name of another module"):
        found("json.py", folder)


def test_name_spelt_as_a_module_is_answered_with_a_colon(folder: Path) -> None:
    (folder / "corner").mkdir()
    (folder / "corner" / "wsgi.py").write_text("application = 7\n")
    with pytest.raises(
        UsageError, match=r"there is no module corner\.wsgi\.application.*did you mean corner\.wsgi:app"
    ):
        found("corner.wsgi.application", folder)


def test_a_path_without_its_suffix_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "shop.py").touch()
    with pytest.raises(SystemFailure, match=r"there is no file .*/shop: did you mean .*/shop\.py\?"):
        parse("./shop:app", str(tmp_path))
