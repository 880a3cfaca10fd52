"""What deploy/kubernetes holds of other files, since kustomize reads nothing outside its directory.

`python -m tests.deploy.generated` writes it anew; a test compares.
"""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from tests.deploy.places import CHECKOUT, DEPLOY

KUBERNETES = DEPLOY / "kubernetes"
RULES = DEPLOY / "prometheus" / "rules"
PROMETHEUS_RULE = KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml"


def generated() -> Iterator[tuple[Path, str]]:
    """Each such file with its content."""
    into = KUBERNETES / "base" / "config"
    yield into / "penstock.yaml", (DEPLOY / "docker" / "penstock.yaml").read_text().replace("../../", "../../../../")
    shipped = CHECKOUT / "config"
    for path in (shipped / "models.yaml", *sorted((shipped / "teams").glob("*.yaml"))):
        nearer = "../schemas/" if path.parent.name == "teams" else "schemas/"
        yield into / path.name, path.read_text().replace(f"$schema={nearer}", "$schema=../../../../config/schemas/")
    yield PROMETHEUS_RULE, _prometheus_rule()


def _prometheus_rule() -> str:
    """The rules that any Prometheus loads, as the operator's resource."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.load(path)["groups"]]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "penstock", "labels": {"release": "kube-prometheus-stack"}},
        "spec": {"groups": groups},
    }
    text = StringIO()
    text.write("# Made of deploy/prometheus/rules by `python -m tests.deploy.generated`: change them there.\n")
    yaml.dump(resource, text)
    return text.getvalue()


if __name__ == "__main__":
    for file, content in generated():
        file.write_text(content)
