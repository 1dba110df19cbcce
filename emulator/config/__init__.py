"""host.json, local.settings.json and the environment as frozen dataclasses, read once at the edge."""
