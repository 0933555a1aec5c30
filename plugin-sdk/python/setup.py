"""The package brings the contract along, which in the repository stands where every language shares it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHARED = Path(__file__).resolve().parent.parent.parent / "wit"


class WithContract(build_py):
    def run(self):
        super().run()
        if SHARED.is_dir() and not self.editable_mode:
            shutil.copytree(SHARED, Path(self.build_lib) / "relais_plugin" / "wit", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithContract})
