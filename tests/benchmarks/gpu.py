"""One run of a GPU: what no CPU can show, in at most eight minutes and one file.

    python tests/benchmarks/gpu.py                    # writes book/records/bench-gpu.json
    python tests/benchmarks/gpu.py kmeans mini        # some parts
    python tests/benchmarks/gpu.py --tiny --json FILE # tiny sizes on a CPU: does it run?

It needs PyTorch and what comes with it; nothing has to be installed, and the first line says what
is missing. The parts are those of `gpu_parts`, most valuable first. Each has a time of its own and
fails by itself: its error is written down, and the next one begins. The file is written after each
row, so that a run that is cut off keeps what it had. The last part gets all the time that is left.
"""

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {  # beside PyTorch: what happens without it
    "numpy": "nothing runs", "safetensors": "nothing runs", "accelerate": "nothing runs",
    "huggingface_hub": "nothing runs", "torchaudio": "nothing runs", "filelock": "nothing runs",
    "threadpoolctl": "nothing runs", "tqdm": "nothing runs", "sklearn": "no run is scored",
    "pydantic": "configurations are not checked", "soundfile": "no part needs it",
}  # fmt: skip

FRAMEWORKS = ("simclr", "moco", "swav", "vicreg", "dino")
PAIRS = [
    *((f, p) for p in ("ssps-clustering", "ssl", "ssps-nn", "supervised") for f in FRAMEWORKS),
    ("simclr", "ssps-clustering-c"), ("moco", "ssps-clustering-c"), ("supervised", "ssl"),
]  # fmt: skip
SMALL = {"dev_speakers": 2, "test_speakers": 2, "test_recordings": 2}
FEW = {"speakers": 12, "recordings": 2, "utterances": 2, "seconds": 2.0, **SMALL}
PACK = {"speakers": 1024, "recordings": 4, "utterances": 2, "seconds": 4.2, **SMALL}
MANY = {
    "speakers": 2048, "recordings": 8, "utterances": 2, "channel": 1.4,
    "dev_speakers": 60, "test_speakers": 200,
}  # fmt: skip
NARROW = {"channels": 16, "dim": 32, "attention": 8, "se": 8}
QUICK = {  # the published recipe, where there is no time for it
    "encoder_options": NARROW, "batch_size": 8, "clusters": 12, "crop": 0.5, "reference_crop": 0.8,
}  # fmt: skip
TABLE = {  # seconds at most, sizes on a GPU, sizes with --tiny
    "steps": (100, {"pairs": PAIRS, "count": 3},
              {"pairs": PAIRS[::6], "count": 2, "corpus_options": FEW}),
    "kmeans": (50, {"n": 1_092_009, "k": 25_000}, {"n": 600, "k": 20}),
    "recipe": (70, {"corpus": PACK, "repeats": 10, "clusters": 1024},
               {"corpus": FEW, "repeats": 1, **QUICK}),
    "resume": (40, {"after": 15}, {"after": 5, "corpus_options": FEW}),
    "norms": (25, {"batch": 256, "samples": 32_000, "options": {}},
              {"batch": 4, "samples": 8_000, "options": NARROW}),
    "compiler": (100, {"corpus": PACK, "repeats": 10, "clusters": 1024},
                 {"corpus": FEW, "repeats": 1, **QUICK}),
    "obvious": (50, {"batch": 256, "quick": False}, {"batch": 4, "quick": True}),
    "mini": (3600, {"preset": "mini", "epochs": 16, "batch_size": 256, "corpus_options": MANY,
                    "clusters": 5_800},
             {"preset": "smoke", "epochs": 1, "batch_size": 16, "corpus_options": FEW,
              "clusters": 12}),
}  # fmt: skip


def absent() -> list[str]:
    """The packages that cannot be imported."""
    found = []
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            found.append(name)
    return found


def stand_in() -> None:
    """Enough of pydantic for the library's dataclasses, whose values nobody types here."""
    pydantic, plain = ModuleType("pydantic"), ModuleType("pydantic.dataclasses")
    plain.dataclass = lambda **_: (
        lambda cls: cls if dataclasses.is_dataclass(cls) else dataclasses.dataclass(frozen=True)(cls)
    )
    pydantic.dataclasses, pydantic.ValidationError = plain, ValueError
    pydantic.Field = pydantic.AfterValidator = lambda *_, **__: None
    pydantic.PositiveInt = pydantic.NonNegativeInt = int
    sys.modules |= {"pydantic": pydantic, "pydantic.dataclasses": plain}


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """TimeoutError inside the block when its time is over."""

    def over(*_) -> None:
        raise TimeoutError(f"cut off after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), 20)  # again, where it was swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(rows: Iterable[dict], seconds: float, result: dict) -> Iterator[dict]:
    """The rows of a part as far as it gets, each noted in `result`, as is why there are no more."""
    started = time.perf_counter()
    result |= {"rows": [], "error": None}
    try:
        with at_most(seconds):
            for row in rows:
                result["rows"].append(row)
                result["seconds"] = time.perf_counter() - started
                yield row
    except Exception as error:
        traceback.print_exc()
        result["error"] = f"{type(error).__name__}: {error}"
    result["seconds"] = time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(TABLE)}")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on a CPU")
    parser.add_argument("--minutes", type=float, default=7.8, help="for all parts together")
    parser.add_argument("--json", type=Path, default=ROOT / "book" / "records" / "bench-gpu.json")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - set(TABLE)):
        parser.error(f"no part is called '{unknown[0]}': choose from {', '.join(TABLE)}")
    started = time.perf_counter()
    missing = absent()
    print("missing:", "; ".join(f"{m} ({NEEDED[m]})" for m in missing) or "nothing", flush=True)
    if "pydantic" in missing:
        stand_in()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # `resume`, before any product
    sys.path.insert(0, str(ROOT))
    import gpu_parts  # with the library, so after what stands in for a package
    import measuring
    import torch

    if not (options.tiny or torch.cuda.is_available()):
        parser.error("there is no GPU: --tiny shows on a CPU that all parts run")
    measuring.device = torch.device("cpu" if options.tiny else "cuda")
    result = measuring.about("gpu") | {"missing": missing, "tiny": options.tiny, "parts": {}}
    same = {
        "machine": result["machine"], "instructions": result["instructions"],
        "torch": result["versions"]["torch"],
    }  # fmt: skip

    def store() -> None:
        options.json.write_text(json.dumps(measuring.record.rounded(result), indent=1) + "\n")

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["SSPS_HOME"] = home
        for name in options.parts or TABLE:
            seconds, full, tiny = TABLE[name]
            left = 60 * options.minutes - (time.perf_counter() - started)
            part = result["parts"][name] = dict(same)
            rows = getattr(gpu_parts, name)(**(tiny if options.tiny else full))
            for row in attempt(rows, min(seconds, left), part):
                store()
                print(name, json.dumps(measuring.record.rounded(row)), flush=True)
            store()
            print(f"-- {name}: {part['seconds']:.1f} s", part["error"] or "", flush=True)
    errors = [part["error"] for part in result["parts"].values() if part["error"]]
    return 1 if any(not error.startswith("TimeoutError") for error in errors) else 0


if __name__ == "__main__":
    sys.exit(main())
