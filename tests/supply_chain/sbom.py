"""The bill of materials of what serves, in CycloneDX 1.6: `python -m tests.supply_chain.sbom FILE`, for `make sbom`.

It lists Penstock and what it needs, with the extras that the lock of what serves holds: name, version, licence, what
needs what, and the hashes of the files that may be installed. It is the same to the byte for the same versions: the
serial number is made of the content, and there is no time in it, which the standard leaves open.
"""

import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tests.supply_chain.locks import LOCKS, locked
from tests.supply_chain.runtime import PENSTOCK, needs, runtime_set

EXTRAS = ("shared", "verify")
_LICENCE = "License :: OSI Approved :: "
_LONGEST_LICENCE = 80  # some hold the whole text there


def bill_of_materials() -> dict[str, Any]:
    """Of the versions that are installed, which are those of the lock."""
    installed = runtime_set(*EXTRAS)
    hashes = {each.name: each.hashes for each in locked(LOCKS / "run.txt")}
    own = installed[PENSTOCK]
    others = {name: each for name, each in installed.items() if name != PENSTOCK}
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**_component(own, ()), "type": "application"}},
        "components": [_component(each, hashes.get(name, ())) for name, each in others.items()],
        "dependencies": [_dependency(each, installed) for each in installed.values()],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))
    return {**bill, "serialNumber": f"urn:uuid:{serial}"}


def _component(installed: Distribution, hashes: Sequence[str]) -> dict[str, Any]:
    licence = _licence(installed)
    return {
        "type": "library",
        "bom-ref": _purl(installed),
        "name": canonicalize_name(installed.name),
        "version": installed.version,
        "purl": _purl(installed),
        **({"licenses": licence} if licence else {}),
        **({"externalReferences": [_files(installed, hashes)]} if hashes else {}),
    }


def _files(installed: Distribution, hashes: Sequence[str]) -> dict[str, Any]:
    """Where its files are, and the hashes of all of them: which is installed depends on the machine."""
    return {
        "type": "distribution",
        "url": f"https://pypi.org/project/{canonicalize_name(installed.name)}/{installed.version}/#files",
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
    }


def _licence(installed: Distribution) -> list[dict[str, Any]]:
    """As an SPDX expression where the distribution has one, else by the names that it gives."""
    told = installed.metadata.json
    if "license_expression" in told:
        return [{"expression": told["license_expression"]}]
    classified = [str(each) for each in told.get("classifier", ()) if str(each).startswith(_LICENCE)]
    names = [each.removeprefix(_LICENCE) for each in classified] or [str(told.get("license", "")).strip()]
    short = [name for name in names if 0 < len(name) <= _LONGEST_LICENCE and "\n" not in name]
    return [{"license": {"name": name}} for name in short]


def _dependency(installed: Distribution, among: Mapping[str, Distribution]) -> dict[str, Any]:
    name = canonicalize_name(installed.name)
    wanted = [need for each in among.values() for need in needs(each, EXTRAS) if canonicalize_name(need.name) == name]
    extras = EXTRAS if name == PENSTOCK else {extra for need in wanted for extra in need.extras}
    names = {canonicalize_name(need.name) for need in needs(installed, extras)}
    return {"ref": _purl(installed), "dependsOn": [_purl(among[name]) for name in sorted(names)]}


def _purl(installed: Distribution) -> str:
    return f"pkg:pypi/{canonicalize_name(installed.name)}@{installed.version}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(bill_of_materials(), indent=1) + "\n", encoding="utf-8")
