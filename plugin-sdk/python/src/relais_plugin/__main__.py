"""`relais-plugin build [MODULE] [-o OUT]`: makes a component of a plugin and what it imports."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

# What componentize-py loads: the plugin's module registers its handlers, and the exports call them.
ENTRY = """\
import os.path
from relais_plugin import _log
_log.install()
import {module} as plugin
from relais_plugin._component import OnDelivery, OnEvent, OnMessage, OnTimer, finish
finish(os.path.dirname(plugin.__file__))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="relais-plugin", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="make a component of the plugin in this directory")
    build.add_argument("module", nargs="?", default="plugin", help="its main module (default: plugin)")
    build.add_argument("-o", "--out", type=Path, help="default: what plugin.toml calls the component")
    build.set_defaults(run=lambda given: make(given.module, given.out or component()))
    given = parser.parse_args()
    given.run(given)


def component() -> Path:
    """What the manifest calls the component."""
    manifest = Path("plugin.toml")
    if not manifest.is_file():
        sys.exit("there is no plugin.toml here, and no -o")
    found = re.search(r"""^\s*component\s*=\s*["']([^"']+)["']""", manifest.read_text(), re.MULTILINE)
    return Path(found[1]) if found else sys.exit('plugin.toml names no component: [plugin] needs component = "NAME.wasm"')


def contract() -> Path:
    """The contract: in the package, or for an editable install where the repository has it."""
    package = Path(__file__).resolve().parent
    for place in (package / "wit", package.parents[3] / "wit/1.0.0"):
        if (place / "world.wit").is_file():
            return place
    sys.exit("the contract is missing: this package brings no wit/ along")


def make(module: str, out: Path) -> None:
    sources = next((place for place in (Path("."), Path("src")) if (place / f"{module}.py").is_file()), None)
    if sources is None:
        sys.exit(f"there is no {module}.py here, nor in src/")
    tool = shutil.which("componentize-py", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if tool is None:
        sys.exit("componentize-py is missing; `pip install componentize-py==0.25.1` brings it")
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "relais_entry.py").write_text(ENTRY.format(module=module))
        built = Path(work) / "component.wasm"
        paths = [work, str(sources), str(Path(__file__).resolve().parent.parent), sysconfig.get_path("purelib")]
        command = [tool, "-q", "-d", str(contract()), "-w", "plugin", "componentize"]
        for path in dict.fromkeys(paths):
            command += ["-p", path]
        # It would add the site-packages of an active environment a second time.
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        done = subprocess.run([*command, "relais_entry", "-o", str(built)], env=environment, check=False)
        if done.returncode != 0:
            sys.exit("the component cannot be made; what went wrong stands above")
        staged = out.with_name(f"{out.name}.new")
        shutil.copyfile(built, staged)
        staged.replace(out)
    print(f"built {out}, {out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
