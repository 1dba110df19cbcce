"""Configuration of a host as frozen dataclasses: host.json, local.settings.json, environment and command line."""
