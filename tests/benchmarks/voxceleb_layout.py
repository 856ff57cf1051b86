"""A tree in VoxCeleb's exact layout, made of tiny files, through check, pack, training and scoring.

    python tests/benchmarks/voxceleb_layout.py FOLDER --utterances 60000 --trials 500000

makes VoxCeleb2 (m4a) and VoxCeleb1 (wav) with trial lists O, E and H in FOLDER, runs the commands
of `ssps_lib.corpora` on them, each in a process of its own, and an epoch of the published recipe
that is cut short after `--steps` mini-batches of `--batch` utterances, with frames as short as the
files ask for; all else is as published (`--narrow` takes a small encoder). Of 60,000 utterances
more than 50,000 are VoxCeleb2's training part. It prints what it counted, seconds and peak memory
as JSON; with `--json` it also stores them after each step.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

from ssps_book.rehearsal import make_tree  # PyTorch comes later: see `command`

FRAMES = {"crop": 0.8, "reference_crop": 0.9}  # published: 2 and 4 s, longer than these files


def command(folder: Path, *arguments: str) -> dict:
    """Run one command `ssps` in a folder; seconds, peak memory and its output.

    A child's peak begins with the memory of this process, which is therefore kept small.
    """
    started, used = time.perf_counter(), cpu_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "ssps_lib", *arguments],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stdout}{done.stderr}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(cpu_seconds() - used, 1),
        "peak_mb": peak_mb(),
        "output": done.stdout.splitlines(),
    }


def cpu_seconds() -> float:
    """CPU time of all children so far, which says more than seconds where others run as well."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_mb() -> int:
    """Largest memory of any child so far."""
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def in_a_child(function, *arguments):
    """What a function returns, called in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def train(folder: Path, steps: int, batch: int, narrow: bool) -> dict:
    """The first steps of an epoch of SimCLR's published recipe, and the encoder that they leave."""
    from ssps_lib import recipes
    from ssps_lib.encoders import save_encoder
    from ssps_lib.training import loop, state
    from ssps_lib.training.record import rounded

    loop.observe = lambda run: {}

    config = recipes.recipe(
        "simclr", preset="paper", corpus=str(folder / "packed"), batch_size=batch, epochs=1,
        noises="made",
        encoder_options=recipes.ENCODERS["smoke" if narrow else "paper"]["ecapa_tdnn"], **FRAMES,
    )  # fmt: skip
    started = time.perf_counter()
    parts = state.begin(config, folder / "run")
    order = parts.data.order
    parts.data.order = lambda epoch: order(epoch)[:steps]
    loop.train(parts)
    encoder = parts.framework.representation_encoder
    save_encoder(encoder, folder / "encoder.safetensors")
    return {
        "steps": len(parts.data.order(0)),
        "batch": batch,
        "encoder": config.encoder,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "crop": config.crop,
        **rounded(parts.position.metrics[-1]),
        "seconds": round(time.perf_counter() - started, 1),
    }


def about() -> dict:
    """Machine class and versions."""
    import torch

    from ssps_lib.training import record

    return {"machine": record.machine(torch.device("cpu"), 1), "versions": record.versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--utterances", type=int, default=60_000)
    parser.add_argument("--trials", type=int, default=500_000)
    parser.add_argument("--steps", type=int, default=12, help="mini-batches of training")
    parser.add_argument("--batch", type=int, default=32, help="utterances of each, published 256")
    parser.add_argument("--narrow", action="store_true", help="with a small encoder")
    parser.add_argument("--wav", action="store_true", help="wav in place of m4a")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the result here as well")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    os.environ.setdefault("SSPS_HOME", str(folder / "home"))
    result = {
        "format": 1,
        "name": "voxceleb-rehearsal",
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),  # processes that ran when it began
        "asked": {"utterances": arguments.utterances, "trials": arguments.trials},
        "compressed": not arguments.wav,
    }

    def note(step: str, found: dict | float) -> None:
        result[step] = found
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1) + "\n")

    started = time.perf_counter()
    make_tree(folder / "voxceleb", arguments.utterances, arguments.trials, not arguments.wav)
    note("make", {"seconds": round(time.perf_counter() - started, 1)})
    note("check", command(folder, "check", "voxceleb"))
    note("pack", command(folder, "pack", "voxceleb", "--out", "packed"))
    note("trials", command(folder, "trials", "packed"))
    result |= in_a_child(about)
    size = (arguments.steps, arguments.batch, arguments.narrow)
    note("train", {**in_a_child(train, folder, *size), "peak_mb": peak_mb()})
    note("score", command(folder, "score", "packed", "--encoder", "encoder.safetensors"))
    note("seconds", round(time.perf_counter() - started, 1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
