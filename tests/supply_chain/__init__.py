"""What Penstock is made of: what is installed with it, where that comes from, and that a wheel can be made again.

| file | what |
|---|---|
| locks.py | the locked requirements: name, version, hashes |
| runtime.py | what `pip install penstock` brings, by the metadata of what is installed |
| sbom.py | that as a CycloneDX bill of materials: `make sbom` |
| cyclonedx_valid.py | whether that is as the standard's schema says, by its own library |
| audit.py | known vulnerabilities of what is locked: `make audit` |
| wheel.py | the wheel, the same to the byte whenever it is built: `make wheel` |
"""
