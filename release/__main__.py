"""Build azemu's packages in dist/, check them, and write bills of materials (SBOM) beside them. Run by `make dist`.

1. Build the sdist, and the wheel from the sdist. Build the wheel from the checkout, too: the same bytes show that the
   sdist is complete and that the build is reproducible.
2. Check the metadata, and that what azemu reads at run time is in the wheel.
3. Install the wheel in a fresh environment with the locked dependencies, and run an app with it.
4. Write the packages of that environment and those of Azurite's lock file in the format of CycloneDX.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

from emulator import __version__
from emulator.storage.azurite.program import find_nodes
from emulator.storage.azurite.release import NPM_FOLDER
from tests.processes import PROJECT, environment, get, started
from tests.running_apps import copy_app

DIST = PROJECT / "dist"
# Apps of users choose the versions of these. The lists name those that azemu is tested with.
EXTRAS = "durable,node"
APP = PROJECT / "tests" / "versions" / "app"
# Nothing of the checkout.
ISOLATED = {"PYTHONPATH": "", "PYTHONWARNINGS": "default"}


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(folder)
        run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist))
        check_contents(wheel)
        interpreter = install(wheel, folder)
        run_app(interpreter, folder)
        write_bills(interpreter)
    print(*(f"{path.relative_to(PROJECT)}  {path.stat().st_size:,} bytes" for path in sorted(DIST.iterdir())), sep="\n")


def run(*command: str, extra: Mapping[str, str | None] | None = None, cwd: Path = PROJECT) -> str:
    """Run a command that has to succeed. Return its output; if it fails, print the output and exit."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment({"PYTHONWARNINGS": "default", **(extra or {})}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{result.stdout}\nmake dist: this command failed")
    return result.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Build the wheel and the sdist into dist/."""
    print("Building …")
    # The time of the commit, not of the build, in the archives.
    commit_time = run("git", "log", "-1", "--format=%ct").strip()
    fixed = {"SOURCE_DATE_EPOCH": commit_time}
    # Without isolation: what builds the packages is installed from the lock file.
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    run(*command, str(DIST), extra=fixed)
    run(*command, str(folder / "direct"), "--wheel", extra=fixed)
    [wheel], [sdist] = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    if wheel.read_bytes() != (folder / "direct" / wheel.name).read_bytes():
        sys.exit("make dist: the wheel built from the sdist differs from the one built from the checkout")
    return wheel, sdist


def check_contents(wheel: Path) -> None:
    """Check that each file below emulator/ which git has is in the wheel, and no other."""
    tracked = {*run("git", "ls-files", "emulator", "azemu.py").splitlines()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    if tracked != packed:
        sys.exit(
            f"make dist: only in git: {sorted(tracked - packed)}; only in the wheel: {sorted(packed - tracked)}. "
            "Commit or delete these files."
        )


def install(wheel: Path, folder: Path) -> str:
    """Install the wheel in a fresh environment, in the locked versions. Return its Python interpreter."""
    print("Installing in a fresh environment …")
    environment_folder = folder / "environment"
    venv.create(environment_folder, with_pip=False)
    interpreter = str(environment_folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    # With hashes, the lock file would have to contain the wheel.
    constraints = folder / "constraints.txt"
    lock = (PROJECT / "requirements" / "run.lock").read_text(encoding="utf-8")
    constraints.write_text("\n".join(re.findall(r"(?m)^\S+==[^\\\n]+", lock)), encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter)
    run(*pip, "install", "--quiet", "--constraint", str(constraints), f"{wheel}[{EXTRAS}]")
    return interpreter


def run_app(interpreter: str, folder: Path) -> None:
    """Run an app with HTTP and durable functions on the installed azemu."""
    print("Running an app …")
    app = copy_app(APP, folder / "app")
    command = str(Path(interpreter).with_name("azemu"))
    version = run(command, "--version", extra=ISOLATED, cwd=app).strip()
    if version != f"azemu {__version__}":
        sys.exit(f"make dist: azemu --version prints {version!r}")
    with started(app, "--no-reload", env=ISOLATED, command=(command,)) as host:
        body = get(host.url())
        if body != "hello world":
            sys.exit(f"make dist: the app answers {body!r}\n{host.read_so_far()}")
        host.interrupt()
        host.wait()


def write_bills(interpreter: str) -> None:
    """Write the bills of materials: the Python packages, and the npm packages that azemu installs at the first use."""
    print("Writing the bills of materials …")
    python_bill = DIST / f"azemu-{__version__}-python.cdx.json"
    run(
        *(sys.executable, "-m", "cyclonedx_py", "environment", interpreter, "--pyproject", "pyproject.toml"),
        *("--output-reproducible", "--output-format", "JSON", "--output-file", str(python_bill)),
    )
    # The tool for Python packages cannot read npm's lock files, but npm can.
    npm = next(node.npm for node in find_nodes() if node.npm is not None)
    command = (*npm, "sbom", "--sbom-format", "cyclonedx", "--package-lock-only", "--omit", "dev")
    npm_bill = run(*command, cwd=NPM_FOLDER, extra={"npm_config_loglevel": "error"})
    (DIST / f"azemu-{__version__}-npm.cdx.json").write_text(npm_bill, encoding="utf-8")


main()
