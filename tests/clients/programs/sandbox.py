"""What these programs ask of the sandbox behind the proxy."""

import json
import os
import urllib.request


def the_provider_fails_for_a_moment():
    """The alias `opus` gets 503 as often as the proxy asks for one request; the next request is the client's own."""
    plan = {"steps": [{"fault": "503", "model": "anthropic/claude-opus-4.7", "times": 3}]}
    address = f"{os.environ['SANDBOX_URL']}/sandbox/scenario"
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(plan).encode(), method="PUT")).close()
