"""The package brings the contract along, which in the repository stands where every language shares it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHARED = Path(__file__).resolve().parent.parent.parent / "wit/1.0.0"


class WithContract(build_py):
    def run(self):
        super().run()
        if SHARED.is_dir() and not self.editable_mode:
            # Not what lies beside it: components that are kept for tests are large.
            own = Path(self.build_lib) / "relais_plugin" / "wit"
            shutil.copytree(SHARED, own, dirs_exist_ok=True, ignore=lambda _, names: [name for name in names if not name.endswith(".wit")])


setup(cmdclass={"build_py": WithContract})
