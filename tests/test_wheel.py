"""The wheel: what it holds, and what it needs to be imported and used."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import ssps_lib

ROOT = Path(ssps_lib.__file__).parents[1]
BOOK_ONLY = (
    "matplotlib", "seaborn", "papermill", "nbformat", "jupyter_book", "IPython", "pandas",
    "onnx", "onnxruntime", "lightly", "av",
)  # fmt: skip
CORE = (
    "analysis", "augmentation", "cli.encoders", "corpora.folder", "encoders", "export",
    "features", "frameworks", "losses", "positives", "pretrained", "recipes",
    "scorer", "training.run",
)  # fmt: skip
# Refuses the packages of the book, then imports the library and uses it.
SCRIPT = f"""
import importlib, sys

sys.modules.update(dict.fromkeys({BOOK_ONLY!r}))  # None: as if they were not installed
for name in {CORE!r}:
    importlib.import_module("ssps_lib." + name)
import torch, ssps_lib
from ssps_lib import losses, positives, pretrained
y = pretrained.encoder()(torch.randn(2, 16_000))
queue = positives.Queue(4, (128,))
queue[torch.arange(2)] = y
print(ssps_lib.__file__, tuple(queue[torch.tensor([1])].shape))
"""


def run(source, folder):
    """The script in a new process that finds the library in `source` only."""
    environment = os.environ | {"PYTHONPATH": str(source), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_library_needs_nothing_of_the_book(tmp_path):
    done = run(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[1:] == ["(1,", "128)"]


def test_the_refusal_works(tmp_path):
    script = SCRIPT.replace("import torch, ssps_lib", "import matplotlib")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)  # fmt: skip
    assert "ModuleNotFoundError: import of matplotlib halted" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel built from a copy of the repository, without a network."""
    if "package-data" not in (ROOT / "pyproject.toml").read_text():
        pytest.skip("pyproject.toml does not declare the data of ssps_lib.pretrained")
    if int(metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools is older than the 77 that pyproject.toml asks for")
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ssps_lib", source / "ssps_lib", ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "--no-index", "--wheel-dir", str(out), str(source)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = out.glob("ssps_lib-*.whl")
    return file


def test_the_wheel_holds_the_library_and_the_shipped_encoder(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (entries,) = [file.read(n).decode() for n in names if n.endswith("entry_points.txt")]
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "ssps_lib").rglob("*.py")}
    assert modules <= names
    for name in ("model.safetensors", "config.json", "calibration.json", "README.md"):
        assert f"ssps_lib/pretrained/{name}" in names
    assert not [name for name in names if name.startswith(("tests", "book"))]
    assert wheel.stat().st_size < 2_000_000
    assert "ssps = ssps_lib.cli:main" in entries


def test_the_unpacked_wheel_works_without_the_book(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    done = run(tmp_path / "site", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(str(tmp_path / "site"))
