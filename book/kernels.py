"""The kernel that executes chapters: this very Python, whatever kernels a machine has besides."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager


class OwnKernel(AsyncKernelManager):
    """A kernel of the Python that runs this, spoken to through sockets in a folder of its own.

    No folder is searched for kernels, so a `python3` that points to another environment is never
    taken; and no port is opened.
    """

    def __init__(self, **options) -> None:
        folder = tempfile.mkdtemp(prefix="kernel-")  # short: a socket's path has a hundred letters
        super().__init__(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True),
            transport="ipc", ip=f"{folder}/s", connection_file=str(Path(folder, "c.json")),
            **options,
        )  # fmt: skip
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
