"""An editable install offers the book's own package too; a wheel holds `ssps_lib` alone."""

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildLibrary(build_py):
    def finalize_options(self) -> None:
        super().finalize_options()
        if not self.editable_mode:
            self.packages = [name for name in self.packages if name.startswith("ssps_lib")]


setup(cmdclass={"build_py": BuildLibrary})
