"""Run the tests marked `rounding` as on other processors: what `make test-instructions` does.

Sums depend on the instruction set, on the number of threads and on what else runs. PyTorch and
oneDNN take a smaller set if asked; processors beyond are simulated by rounding every layer anew.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ONEDNN = {"default": "SSE41", "avx2": "AVX2", "avx512": "AVX512_CORE"}  # by PyTorch's names
THREADS = (1, 2)
SIMULATED = (1, 2)
BUSY = [sys.executable, "-c", "while True: pass"]

# In every process: the outputs of a layer, changed in their last bit, alike for equal shapes.
ROUNDED = """
import functools, os
import torch

@functools.cache
def last_bits(shape):
    generator = torch.Generator().manual_seed(hash((int(os.environ["ROUNDING"]), *shape)) % 2**31)
    return 1 + 6e-8 * torch.randn(shape, generator=generator)

def rounded(function):
    def call(*inputs, **options):
        output = function(*inputs, **options)
        if output.dtype == torch.float32 and output.device.type == "cpu":
            output = output * last_bits(tuple(output.shape))
        return output
    return call

for name in ("linear", "conv1d", "conv2d"):
    setattr(torch.nn.functional, name, rounded(getattr(torch.nn.functional, name)))
"""


def passes(title: str, **environment: str) -> bool:
    """Whether the marked tests pass with these variables."""
    print(f"== {title}", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "rounding", "tests", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | environment).returncode == 0


def as_instructed(name: str, threads: int) -> dict[str, str]:
    """The variables that ask for an instruction set and a number of threads."""
    return {
        "ATEN_CPU_CAPABILITY": name, "ONEDNN_MAX_CPU_ISA": ONEDNN[name],
        "OMP_NUM_THREADS": str(threads),
    }  # fmt: skip


def main() -> int:
    """The exit status: 0 if all pass."""
    best = torch.backends.cpu.get_cpu_capability().lower()
    names = list(ONEDNN)[: list(ONEDNN).index(best) + 1]
    print(f"instruction sets: {', '.join(names)}")
    results = [
        passes(f"{name}, {threads} thread(s)", **as_instructed(name, threads))
        for name in names
        for threads in THREADS
    ]
    loops = [subprocess.Popen(BUSY) for _ in range(2)]
    try:
        results.append(passes(f"{names[-1]}, busy", **as_instructed(names[-1], 1)))
    finally:
        for loop in loops:
            loop.kill()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(ROUNDED)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        for number in SIMULATED:
            results.append(passes(f"simulated {number}", PYTHONPATH=path, ROUNDING=str(number)))
    print(f"{sum(results)} of {len(results)} passed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
