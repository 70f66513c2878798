"""Options of TLS, names in certificates, and the directories that are watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefork._errors import UsageError
from prefork._master.watching.notices import _directories
from prefork._options.listed.tls import TLS, files
from prefork.adapters.web.client_certificate import _name

NONE: dict[str, Any] = {option.name: option.default for option in TLS}


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), ""),
        (((("countryName", "DE"),), (("commonName", "alice"),)), "CN=alice,C=DE"),
        (((("organizationName", "Shop, Inc."),),), r"O=Shop\, Inc."),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("commonName", " #"),),), r"CN=\ #"),
        (((("commonName", "a "),),), r"CN=a\ "),
        (((("commonName", 'a"b<d>e;f+g'),),), r"CN=a\"b\<d\>e\;f\+g"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
    ],
)
def test_subject_is_written_as_rfc_4514_has_it(subject: Any, name: str) -> None:
    assert _name(subject) == name


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {}),
        ({"tls_cert": "a", "tls_key": "b"}, {"tls_cert": "a", "tls_key": "b"}),
        ({"tls_cert": "a", "tls_ca": "c", "tls_client": "required"}, {"tls_cert": "a", "tls_ca": "c"}),
        ({"tls_key": "b"}, "--tls-key: it needs --tls-cert"),
        ({"tls_min_version": "1.3"}, "--tls-min-version: it needs --tls-cert"),
        ({"tls_cert": "a", "tls_ca": "c"}, "--tls-ca: it needs --tls-client"),
        ({"tls_cert": "a", "tls_client": "optional"}, "--tls-client: it needs --tls-ca"),
    ],
)
def test_options_name_files_that_fit_together(given: dict[str, str], found: Any) -> None:
    sources = {name: "--" + name.replace("_", "-") for name in given}
    if isinstance(found, dict):
        assert files(NONE | given, sources) == found
    else:
        with pytest.raises(UsageError, match=f"^{found}$"):
            files(NONE | given, sources)


def test_each_directory_is_watched_in_which_a_link_can_change(tmp_path: Path) -> None:
    archive, live = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    (archive / "cert1.pem").touch()
    (tmp_path / "current").symlink_to("live")
    live.mkdir()
    (live / "cert.pem").symlink_to("../archive/cert1.pem")
    assert _directories([f"{tmp_path}/current/cert.pem"]) >= {str(tmp_path), str(live), str(archive)}
    (archive / "cert1.pem").unlink()
    assert str(archive) in _directories([f"{tmp_path}/current/cert.pem"]), "where it is to come again"
