"""deploy/kubernetes: kustomize builds it, the cluster would take it, and what it mounts is what Penstock reads."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.deploy.generated import KUBERNETES, generated
from tests.deploy.places import CHECKOUT
from tests.e2e.conftest import run_penstock

Resource = dict[str, Any]

BASE = KUBERNETES / "base"
PRODUCTION = KUBERNETES / "overlays" / "production"
LIBRARY = Path(sys.prefix) / "kustomize" / "libpykustomize.so"  # put there by kustomize/install.sh

# Of the Prometheus operator's resources, what these manifests use, and nothing else: names and types as in its 0.82
# (its API reference, read 30 November 2026). A name that is not here is a mistake, or belongs here.
_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_DURATION = {"type": "string", "pattern": r"^(0|([0-9]+(ms|[smhdwy]))+)$"}


def _strict(*required: str, **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_RULE = {
    **_strict("expr", alert=_TEXT, record=_TEXT, expr=_TEXT, labels=_TEXTS, annotations=_TEXTS,
              **{"for": _DURATION, "keep_firing_for": _DURATION}),
    "oneOf": [{"required": ["alert"]}, {"required": ["record"], "not": {"required": ["annotations"]}}],
}  # fmt: skip
_SECRET_KEY = _strict("name", "key", name=_TEXT, key=_TEXT)
OPERATOR_S = {
    "PrometheusRule": _strict(
        "groups",
        groups={"type": "array", "items": _strict("name", name=_TEXT, interval=_DURATION,
                                                  rules={"type": "array", "items": _RULE, "minItems": 1})},
    ),
    "ServiceMonitor": _strict(
        "selector", "endpoints",
        jobLabel=_TEXT,
        selector=_strict("matchLabels", matchLabels=_TEXTS),
        endpoints={"type": "array", "minItems": 1, "items": _strict(
            "port", port=_TEXT, path=_TEXT, interval=_DURATION, scrapeTimeout=_DURATION,
            authorization=_strict("credentials", type={"const": "Bearer"}, credentials=_SECRET_KEY),
        )},
    ),
}  # fmt: skip


@cache
def kustomized(directory: Path) -> tuple[Resource, ...]:
    """What `kubectl apply -k DIRECTORY` would send."""
    if not LIBRARY.exists() and os.environ.get("CI") != "true":  # noqa: TID251 - whether to skip is a test's business
        pytest.skip("kustomize is not there: sh tests/deploy/kustomize/install.sh")
    program = [sys.executable, str(Path(__file__).parent / "kustomize" / "build.py")]
    built = subprocess.run([*program, str(LIBRARY), str(directory)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert built.stderr == "", "kustomize warns"
    return tuple(YAML(typ="safe", pure=True).load_all(built.stdout))


def the(resources: tuple[Resource, ...], kind: str, name: str = "penstock") -> Resource:
    (only,) = [each for each in resources if each["kind"] == kind and each["metadata"]["name"] == name]
    return only


def pod(resources: tuple[Resource, ...]) -> Resource:
    (workload,) = [each for each in resources if each["kind"] in {"Deployment", "StatefulSet"}]
    template: Resource = workload["spec"]["template"]
    return template


@pytest.mark.parametrize("directory", [BASE, PRODUCTION], ids=["base", "production"])
def test_a_cluster_takes_every_resource_strictly(directory: Path) -> None:
    for each in kustomized(directory):
        if each["kind"] in OPERATOR_S:
            jsonschema_rs.validate(OPERATOR_S[each["kind"]], each["spec"])
        else:
            kubernetes_validate.validate(each, "1.33", strict=True)
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_the_example_of_secrets_is_taken_too_and_holds_none() -> None:
    for each in YAML(typ="safe").load_all(KUBERNETES / "secrets.example.yaml"):
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
        assert set({**each.get("stringData", {}), **each.get("data", {})}.values()) == {""}


def test_every_kind_is_there_once() -> None:
    kinds = [each["kind"] for each in kustomized(PRODUCTION) if each["kind"] not in {"ConfigMap", "Service"}]

    assert sorted(kinds) == [
        "HorizontalPodAutoscaler",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    ]


def test_every_manifest_is_part_of_something() -> None:
    named = {
        (path.parent / name).resolve()
        for path in KUBERNETES.rglob("kustomization.yaml")
        for key in ("resources", "components")
        for name in YAML(typ="safe").load(path).get(key, [])
    }
    files = {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}

    alone = files - named - {KUBERNETES / "secrets.example.yaml"} - set((BASE / "config").iterdir())
    assert alone == set()
    assert {path.parent for path in KUBERNETES.rglob("kustomization.yaml")} - named == {PRODUCTION}


def test_copies_are_what_they_are_copies_of() -> None:
    differing = [str(path.relative_to(CHECKOUT)) for path, content in generated() if path.read_text() != content]

    assert differing == [], "run: python -m tests.deploy.generated"


def test_pods_meet_what_the_namespace_enforces() -> None:
    """Pod Security Standards, "restricted" (Kubernetes 1.37)."""
    for resources in (kustomized(BASE), kustomized(PRODUCTION)):
        spec = pod(resources)["spec"]
        (container,) = spec["containers"]
        security = container["securityContext"]

        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
        assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} <= {"emptyDir", "projected", "secret"}
    assert the(kustomized(PRODUCTION), "Namespace")["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "restricted"
    }


def test_the_image_s_user_is_the_pod_s() -> None:
    dockerfile = (CHECKOUT / "deploy" / "docker" / "Dockerfile").read_text()
    security = pod(kustomized(BASE))["spec"]["securityContext"]

    assert f"\nUSER {security['runAsUser']}:{security['runAsGroup']}\n" in dockerfile


def test_what_selects_pods_selects_these() -> None:
    resources = kustomized(PRODUCTION)
    labels = pod(resources)["metadata"]["labels"].items()
    spread = [each["labelSelector"]["matchLabels"] for each in pod(resources)["spec"]["topologySpreadConstraints"]]

    assert the(resources, "Service")["spec"]["selector"].items() <= labels
    assert the(resources, "Service", "penstock-admin")["spec"]["selector"].items() <= labels
    assert the(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    assert the(resources, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert all(each.items() <= labels for each in spread)


def test_the_monitor_finds_the_admin_port_and_its_token_and_no_other_service() -> None:
    resources = kustomized(PRODUCTION)
    monitor = the(resources, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    found = [each for each in resources if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()]

    (service,) = found
    (endpoint,) = monitor["endpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert service["metadata"]["name"] == "penstock-admin"
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert credentials["key"] in secret_keys()[credentials["name"]]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "penstock"  # as deploy/prometheus calls the job


def test_ports_have_one_name_everywhere() -> None:
    resources = kustomized(PRODUCTION)
    (container,) = pod(resources)["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    policy = the(resources, "NetworkPolicy")["spec"]

    assert ports == {"api": 8000, "admin": 8001}
    assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "readiness", "liveness")} == {"api"}
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == ["api", "admin"]
    for name, port in (("penstock", "api"), ("penstock-admin", "admin")):
        (only,) = the(resources, "Service", name)["spec"]["ports"]
        assert (only["targetPort"], only["port"]) == (port, ports[port])


def test_the_autoscaler_asks_for_a_metric_that_there_is_and_for_what_is_deployed() -> None:
    for resources in (kustomized(BASE), kustomized(PRODUCTION)):
        scaler = the(resources, "HorizontalPodAutoscaler")["spec"]
        pods, _ = scaler["metrics"]
        target = scaler["scaleTargetRef"]

        assert f"| `{pods['pods']['metric']['name']}` | gauge |" in (CHECKOUT / "docs" / "metrics.md").read_text()
        assert the(resources, target["kind"], target["name"])["apiVersion"] == target["apiVersion"]
        assert "replicas" not in the(resources, target["kind"])["spec"], "the autoscaler's figure would be overwritten"


def test_a_stop_has_the_time_that_it_may_take() -> None:
    grace = re.search(r"^stop_grace_s: (\d+)$", configuration()["penstock.yaml"], re.MULTILINE)

    assert grace is not None
    for resources in (kustomized(BASE), kustomized(PRODUCTION)):
        allowed = pod(resources)["spec"]["terminationGracePeriodSeconds"]
        assert allowed >= int(grace[1]) + 60  # docs/operations.md, Stopping


def configuration() -> dict[str, str]:
    """The files of the ConfigMap."""
    files: dict[str, str] = the(kustomized(PRODUCTION), "ConfigMap", "penstock-config")["data"]
    return files


def secret_keys() -> Mapping[str, set[str]]:
    return {
        each["metadata"]["name"]: set({**each.get("stringData", {}), **each.get("data", {})})
        for each in YAML(typ="safe").load_all(KUBERNETES / "secrets.example.yaml")
    }


def mounted(directory: Path, resources: tuple[Resource, ...], volume: Resource) -> None:
    """As the kubelet does: a directory of this version, `..data` that points to it, and links by way of that."""
    version = directory / "..2026_11_30"
    for source in volume["projected"]["sources"]:
        data: dict[str, str] = the(resources, "ConfigMap", source["configMap"]["name"])["data"]
        items = source["configMap"].get("items") or [{"key": key, "path": key} for key in data]
        assert {item["key"] for item in items} == set(data), "a file that is not mounted"
        for item in items:
            path = version / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(data[item["key"]])
    (directory / "..data").symlink_to(version.name)
    for each in version.iterdir():
        (directory / each.name).symlink_to(Path("..data") / each.name)


def test_what_is_mounted_is_a_valid_configuration_that_finds_its_secrets(tmp_path: Path) -> None:
    resources = kustomized(PRODUCTION)
    (container,) = pod(resources)["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in pod(resources)["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    config, secrets = tmp_path / "config", tmp_path / "secrets"
    secrets.mkdir()
    for key in secret_keys()[volumes["secrets"]["secret"]["secretName"]]:
        (secrets / key).write_text(f"what stands in {key}")
    config.mkdir()
    mounted(config, resources, volumes["config"])
    main = config / "..data" / "penstock.yaml"
    main.write_text(main.read_text().replace(mounts["secrets"], str(secrets)))

    checked = run_penstock("check", str(config))

    said = checked.stderr.decode()
    assert checked.returncode == 0, said
    assert "2 teams" in checked.stdout.decode()
    assert mounts["config"] == "/etc/penstock"
    assert [line for line in said.splitlines() if str(secrets) in line] == [
        line for line in said.splitlines() if "deepseek_api_key" in line
    ], "a secret that is not in the example"


def test_the_pepper_lies_where_penstock_looks_for_it() -> None:
    (container,) = pod(kustomized(PRODUCTION))["spec"]["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "pepper"]
    dockerfile = (CHECKOUT / "deploy" / "docker" / "Dockerfile").read_text()

    assert mount["mountPath"] == "/var/lib/penstock/pepper"
    assert "STATE_DIRECTORY=/var/lib/penstock " in dockerfile


def test_disks_that_last_take_the_place_of_those_that_do_not() -> None:
    workload = the(kustomized(PRODUCTION), "StatefulSet")["spec"]
    (container,) = workload["template"]["spec"]["containers"]

    (claim,) = workload["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "state"
    assert "state" not in {volume["name"] for volume in workload["template"]["spec"]["volumes"]}
    assert ("state", "/var/lib/penstock") in {(m["name"], m["mountPath"]) for m in container["volumeMounts"]}
