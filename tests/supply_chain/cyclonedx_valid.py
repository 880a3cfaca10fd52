"""Whether a file is CycloneDX 1.6, by the standard's own library: `python -m tests.supply_chain.cyclonedx_valid FILE`.

The library is not among the development tools: `make sbom` installs it (deploy/requirements/audit.txt).
"""

import sys
from pathlib import Path

from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    fault = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        sys.exit(f"{sys.argv[1]} is not CycloneDX 1.6: {fault}")
