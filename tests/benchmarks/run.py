"""All benchmarks, one after another, each in a process of its own: `make bench`.

They compare the library with the obvious implementation and with the best library at hand; see
`measuring.py`.

    python tests/benchmarks/run.py                            # the table
    python tests/benchmarks/run.py --folder book/records      # also stored, for book chapter 17
    python tests/benchmarks/run.py kmeans sampling --quick    # some of them, at tiny sizes
    python tests/benchmarks/run.py --device cpu               # although there is a GPU
    python tests/benchmarks/run.py step kmeans --avx2         # as a processor without AVX-512
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
from measuring import default_device, stem

from ssps_lib import files

HERE = Path(__file__).resolve().parent
SCRIPTS = {
    "scoring": "trial_scoring.py",
    "sampling": "positive_sampling.py",
    "step": "training_step.py",
    "kmeans": "kmeans_clusters.py",
    "processes": "two_processes.py",
    "feeding": "feeding.py",
}

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell", "FAISS_OPT_LEVEL": "AVX2",
}  # fmt: skip


def without_avx512() -> dict[str, str]:
    """What `torch.compile` has to be told: it lets the C++ compiler look at the processor."""
    folder = files.home() / "compiled-avx2"
    folder.mkdir(parents=True, exist_ok=True)
    compiler = folder / "g++"
    compiler.write_text('#!/bin/sh\nexec g++ "$@" -mno-avx512f\n')
    compiler.chmod(0o755)
    return {"CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(folder)}


def command(name: str, quick: bool, folder: Path | None, device: str) -> list[str]:
    """The command line of a benchmark."""
    out = [sys.executable, str(HERE / SCRIPTS[name])]
    if name == "feeding":  # what a CPU does for any device
        out += ["--utterances", "64", "--batch", "32"] if quick else []
        return out if folder is None else [*out, "--json", str(folder / "feeding.json")]
    out += ["--device", device] + (["--quick"] if quick else [])
    return out if folder is None else [*out, "--json", str(folder / f"{stem(device)}-{name}.json")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run")
    parser.add_argument("--folder", type=Path, help="where the JSON files go")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=default_device())
    parser.add_argument("--avx2", action="store_true", help="without newer instructions")
    options = parser.parse_args()
    if options.avx2:
        os.environ.update(AVX2 | without_avx512())
    unknown = sorted(set(options.names) - set(SCRIPTS))
    if unknown:
        parser.error(f"no benchmark is called '{unknown[0]}': choose from {', '.join(SCRIPTS)}")
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.names or SCRIPTS:
        print(f"-- {name}", flush=True)
        if name == "processes" and options.device == "cuda" and torch.cuda.device_count() == 1:
            print("left out: two processes need two GPUs, or none")
            continue
        line = command(name, options.quick, options.folder, options.device)
        seen = {"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}
        if subprocess.run(line, env=os.environ | seen).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
