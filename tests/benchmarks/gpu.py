"""One run of a GPU: what no CPU can show, in at most eight minutes and one file.

    python tests/benchmarks/gpu.py                    # writes book/records/gpu.json
    python tests/benchmarks/gpu.py kmeans mini        # some parts
    python tests/benchmarks/gpu.py --tiny --json FILE # tiny sizes on a CPU: does it run?

It needs PyTorch and what comes with it; nothing has to be installed, and the first line says what
is missing. The parts are those of `gpu_parts`, most valuable first. Each has a time of its own and
fails by itself: its error is written down, and the next one begins. The file is written after each
row, so that a run that is cut off keeps what it had. The last part gets all the time that is left.
"""

import argparse
import dataclasses
import functools
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (  # beside PyTorch
    "numpy", "safetensors", "accelerate", "huggingface_hub", "torchaudio", "filelock", "sklearn",
    "threadpoolctl", "tqdm", "pydantic", "soundfile",
)  # fmt: skip
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
              {"pairs": PAIRS[::8], "count": 2, "corpus_options": FEW}),
    "kmeans": (50, {"n": 1_092_009, "k": 25_000}, {"n": 600, "k": 20}),
    "recipe": (80, {"corpus": PACK, "repeats": 10, "clusters": 1024},
               {"corpus": FEW, "repeats": 1, **QUICK}),
    "resume": (40, {"after": 15}, {"after": 5, "corpus_options": FEW}),
    "norms": (25, {"batch": 256, "samples": 32_000, "options": {}},
              {"batch": 4, "samples": 8_000, "options": NARROW}),
    "compiler": (100, {"corpus": PACK, "repeats": 10, "clusters": 1024},
                 {"corpus": FEW, "repeats": 1, **QUICK}),
    "mini": (3600, {"preset": "mini", "epochs": 16, "batch_size": 256, "corpus_options": MANY,
                    "clusters": 5_800, "observe_every": 8},
             {"preset": "smoke", "epochs": 1, "batch_size": 16, "corpus_options": FEW,
              "clusters": 12}),
}  # fmt: skip


def stand_in() -> None:
    """Enough of pydantic for the library's dataclasses, whose values nobody types here."""

    def dataclass(frozen: bool, **_) -> Callable[[type], type]:
        def unchecked(cls):
            if "__dataclass_fields__" not in vars(cls):
                cls = dataclasses.dataclass(frozen=frozen)(cls)
            plain, names = cls.__init__, {field.name for field in dataclasses.fields(cls)}

            def init(self, **options) -> None:  # what is no field is ignored, as by the environment
                plain(self, **{name: value for name, value in options.items() if name in names})

            cls.__init__ = init
            return cls

        return unchecked

    pydantic, inner = ModuleType("pydantic"), ModuleType("pydantic.dataclasses")
    inner.dataclass = dataclass
    pydantic.dataclasses, pydantic.ValidationError = inner, ValueError
    pydantic.Field = pydantic.AfterValidator = lambda *_, **__: None
    pydantic.PositiveInt = pydantic.NonNegativeInt = int
    pydantic.PositiveFloat = pydantic.NonNegativeFloat = float
    sys.modules |= {"pydantic": pydantic, "pydantic.dataclasses": inner}


class CutOff(BaseException):
    """The time of a part is over, which no `except Exception` of a compiler may swallow."""


def attempt(
    rows: Iterator[dict], seconds: float, part: dict, store: Callable[[object], None]
) -> None:
    """Store the rows of a part as far as they come within its time, and why there are no more."""

    def over(*_) -> None:
        raise CutOff(f"after {max(seconds, 0):.0f} s")

    started = time.perf_counter()
    part |= {"seconds": None, "error": None, "rows": []}  # as they stay if all ends here
    signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), 20)  # again: some destructors do
        for row in rows:
            part["rows"].append(row)
            store(row)
    except (Exception, CutOff) as error:
        traceback.print_exc()
        part["error"] = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    part["seconds"] = time.perf_counter() - started
    store(f"{part['seconds']:.1f} s, error: {part['error']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(TABLE)}")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on a CPU")
    parser.add_argument("--minutes", type=float, default=7.7, help="for all parts together")
    parser.add_argument("--json", type=Path, default=ROOT / "book" / "records" / "gpu.json")
    options = parser.parse_args()
    started = time.perf_counter()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    print("missing:", ", ".join(missing) or "nothing", flush=True)
    if "pydantic" in missing:
        stand_in()
    if "soundfile" in missing:  # no part reads audio files
        sys.modules["soundfile"] = ModuleType("soundfile")
        sys.modules["soundfile"].SoundFile = object
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # `resume`, before any product
    sys.path.insert(0, str(ROOT))
    import gpu_parts  # with the library, so after what stands in for a package
    import measuring
    import torch

    if not (options.tiny or torch.cuda.is_available()):
        parser.error("there is no GPU: --tiny shows on a CPU that all parts run")
    measuring.device = torch.device("cpu" if options.tiny else "cuda")
    gpu_parts.simulated.render = gpu_parts.rendered  # by all cores, for all parts
    result = measuring.about("gpu") | {"missing": missing, "tiny": options.tiny, "parts": {}}
    same = {k: result[k] for k in ("machine", "instructions")} | {"torch": torch.__version__}

    def store(name: str, news: object) -> None:
        text = json.dumps(measuring.record.rounded(result), indent=1, allow_nan=False)
        options.json.with_suffix(".new").write_text(text + "\n")
        options.json.with_suffix(".new").replace(options.json)
        print(name, measuring.record.rounded(news), flush=True)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["SSPS_HOME"] = home
        for name in options.parts or TABLE:
            seconds, full, tiny = TABLE[name]
            left = 60 * options.minutes - (time.perf_counter() - started)
            part = result["parts"][name] = dict(same)
            rows = getattr(gpu_parts, name)(**(tiny if options.tiny else full))
            attempt(rows, min(seconds, left), part, functools.partial(store, name))
    errors = [part["error"] or "" for part in result["parts"].values()]
    return 1 if any(error and not error.startswith("CutOff") for error in errors) else 0


if __name__ == "__main__":
    sys.exit(main())
