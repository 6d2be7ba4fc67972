"""The files for a deployment name commands, modules, settings and paths that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import __version__
from pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra" / "deploy"
FILES = sorted(file for file in DEPLOY.rglob("*") if file.is_file())
#: Not settings of a run: where the UI's notices go, and the URL of a lake's catalog, which is a secret.
OTHERS = {"PERPLAKE_NOTIFY", "PERPLAKE_LAKE_CATALOG"}


def content(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_variables_are_settings_and_modules_and_files_exist(file: Path) -> None:
    text = file.read_text()
    variables = set(re.findall(r"\bPERPLAKE_[A-Z_]*[A-Z]\b", text))
    assert {name.removeprefix("PERPLAKE_").lower() for name in variables - OTHERS} <= set(Settings.model_fields)
    for module in re.findall(r"\b(assets(?:\.\w+)+)", text):
        assert find_spec(module), module
    for named in re.findall(r"(?<![\w/.])infra/[\w./-]*\w", text):
        assert (ROOT / named).exists(), named


def test_the_services_are_those_that_the_workspace_names() -> None:
    services, [server] = content("compose.yaml")["services"], content("workspace.yaml")["load_from"]
    at = server["grpc_server"]
    assert f"--port {at['port']}" in services[at["host"]]["command"]
    assert f"--location-name {at['location_name']}" in services[at["host"]]["command"]
    for name in ("web", "viewers", "daemon"):
        assert "/opt/dagster/workspace.yaml" in services[name]["command"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    assert content("dagster.yaml")["storage"]["postgres"]["postgres_db"]["hostname"]["env"] in services["code"]["environment"]


def test_the_settings_of_dagster_differ_in_the_storage_alone() -> None:
    ours, own = content("dagster.yaml"), yaml.safe_load((ROOT / "infra" / "dagster" / "dagster.yaml").read_text())
    assert {name: value for name, value in ours.items() if name != "storage"} == own


def test_the_chart_has_the_same_image_port_and_limits() -> None:
    values, settings = content("helm-values.yaml"), content("dagster.yaml")
    [deployment] = values["dagster-user-deployments"]["deployments"]
    images = [deployment["image"], values["dagsterDaemon"]["image"], values["dagsterWebserver"]["image"]]
    assert {image["tag"] for image in images} == {__version__.partition(".dev")[0]}
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert coordinator["tagConcurrencyLimits"] == settings["concurrency"]["runs"]["tag_concurrency_limits"]
    assert _snake(values["dagsterDaemon"]["runMonitoring"]) == settings["run_monitoring"]
    assert _snake(values["pythonLogs"]) == settings["python_logs"]
    assert _snake(values["retention"]) == {"enabled": True, **settings["retention"]}


def test_all_services_of_a_lake_have_it_and_the_chart_has_the_same() -> None:
    services, ours = content("compose.yaml")["services"], content("compose-lake.yaml")["services"]
    lake = {"PERPLAKE_PROFILE", "PERPLAKE_LAKE_CATALOG", "PERPLAKE_LAKE_DATA", "PERPLAKE_LANDING"}
    of_perplake = {name for name, service in services.items() if service["image"] == "perplake"}
    assert of_perplake == {name for name, service in ours.items() if lake <= service.get("environment", {}).keys()}
    [before], [after] = (
        content(name)["dagster-user-deployments"]["deployments"] for name in ("helm-values.yaml", "helm-lake-values.yaml")
    )
    assert lake - after["env"].keys() == {"PERPLAKE_LAKE_CATALOG"}
    differ = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert differ == {"env", "envSecrets", "volumes"}


def _snake(value: Any) -> Any:
    """With the names of `dagster.yaml`; the chart writes them otherwise."""
    if not isinstance(value, dict):
        return value
    return {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): _snake(content) for name, content in value.items()}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    perps = shutil.which("true")
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/perplake/.venv/bin/perps", str(perps)).replace("/opt/perplake", str(tmp_path))
        (tmp_path / unit.name).write_text(text.replace("User=perplake\n", ""))
    units = sorted(map(str, tmp_path.glob("perplake*")))
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    complaints = [line for line in verified.stderr.splitlines() if "perplake" in line]
    assert (verified.returncode, complaints) == (0, [])


@pytest.mark.skipif(not shutil.which("nginx") or not shutil.which("openssl"), reason="nginx is not installed")
def test_nginx_reads_the_proxy(tmp_path: Path) -> None:
    key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    subprocess.run(
        [*key, "-keyout", tmp_path / "perplake.key", "-out", tmp_path / "perplake.crt"], check=True, capture_output=True
    )
    (tmp_path / "perplake.htpasswd").write_text("")
    site = (DEPLOY / "nginx.conf").read_text().replace("/etc/nginx", str(tmp_path))
    (tmp_path / "all.conf").write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {site} }}")
    tested = subprocess.run(["nginx", "-t", "-c", tmp_path / "all.conf"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
