"""Version sets: what users of azemu pin in their requirements.txt, and on which Python."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.packages import PACKAGES


@dataclass(frozen=True, slots=True)
class VersionSet:
    """Requirements of an app. `python`: the version that it needs, such as "3.13"; None: that of the tests.

    `separately`: azemu is installed first, and the requirements with a second command.
    """

    name: str
    requirements: tuple[str, ...]
    python: str | None = None
    separately: bool = False

    @property
    def durable(self) -> bool:
        return any(line.startswith("azure-functions-durable") for line in self.requirements)

    @property
    def pins(self) -> dict[str, str]:
        """The pinned versions by package name."""
        return {name: version for name, _, version in (line.partition("==") for line in self.requirements) if version}


def lowest(*without: str) -> tuple[str, ...]:
    """Return the lowest versions that azemu works with."""
    return tuple(f"{name}=={package.lowest}" for name, package in PACKAGES.items() if name not in without)


_DURABLE = "azure-functions-durable"

SETS = (
    # aiohttp has wheels for Python 3.11 since 3.8.3, so the lowest set is for Python 3.11 only.
    # azure-functions-durable has needed the classes of azure-functions 1.12 since 1.2.0, although it allows lower ones.
    VersionSet(
        "lowest", ("azure-functions==1.12.0", f"{_DURABLE}==1.2.0", *lowest("azure-functions", _DURABLE)), python="3.11"
    ),
    VersionSet("lowest-without-durable", lowest(_DURABLE), python="3.11"),
    VersionSet("highest", ("azure-functions", _DURABLE)),
    VersionSet("highest-separately", ("azure-functions", _DURABLE), separately=True),
    VersionSet("highest-3.12", ("azure-functions", _DURABLE), python="3.12"),
    VersionSet("highest-3.13", ("azure-functions>=2", f"{_DURABLE}<2"), python="3.13"),
    VersionSet(
        "storage-2023",
        ("azure-functions==1.17.0", "azure-storage-blob==12.19.0", "azure-data-tables==12.4.4"),
    ),
    VersionSet("early-v2", ("azure-functions==1.11.2", "requests==2.28.1"), python="3.11"),
    VersionSet(
        "durable-2023",
        (
            "azure-functions==1.18.0",
            f"{_DURABLE}==1.2.9",
            "azure-storage-blob==12.14.1",
            "aiohttp==3.8.6",
            "requests==2.31.0",
            "pydantic==1.10.13",
        ),
        python="3.11",
    ),
    VersionSet(
        "durable-2024",
        (
            "azure-functions==1.20.0",
            f"{_DURABLE}==1.2.10",
            "azure-storage-blob==12.19.1",
            "aiohttp==3.9.5",
            "pydantic==2.7.4",
            "protobuf==4.25.3",
            "grpcio==1.62.2",
        ),
        separately=True,
    ),
)
