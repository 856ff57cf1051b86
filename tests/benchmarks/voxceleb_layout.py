"""A tree in VoxCeleb's exact layout, made of tiny files, through check, pack, training and scoring.

    python tests/benchmarks/voxceleb_layout.py FOLDER --utterances 50000 --trials 500000

makes VoxCeleb2 (m4a) and VoxCeleb1 (wav) with trial lists O, E and H in FOLDER, runs the commands
of `ssps_lib.corpora` on them, each in a process of its own, and a few steps of the published recipe
with a narrow encoder. It prints what it counted, seconds and peak memory as JSON. Shares of the
parts are roughly VoxCeleb's; durations are not (0.6 to 0.9 s).
"""

import argparse
import base64
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
VOICES = 16  # different sounds among all files
UTTERANCES = 4  # of a video
SHARES = {  # of the utterances, and videos of a speaker
    "VoxCeleb2/dev/aac": (0.84, 8),
    "VoxCeleb2/test/aac": (0.03, 4),
    "VoxCeleb1/dev/wav": (0.10, 6),
    "VoxCeleb1/test/wav": (0.03, 6),
}
FIRST = {  # id of the first speaker
    "VoxCeleb2/dev/aac": 12,
    "VoxCeleb2/test/aac": 9_300,
    "VoxCeleb1/dev/wav": 10_310,
    "VoxCeleb1/test/wav": 10_270,
}


def sound(voice: int) -> np.ndarray:
    """Samples (T,) of a buzzing voice in noise."""
    rng = np.random.default_rng(voice)
    time_axis = np.arange(int(RATE * rng.uniform(0.6, 0.9))) / RATE
    pitch = 90 + 20 * voice
    tones = sum(np.sin(2 * np.pi * k * pitch * time_axis) / k for k in range(1, 9))
    return (0.1 * tones + 0.02 * rng.standard_normal(len(time_axis))).astype(np.float32)


def wav(samples: np.ndarray) -> bytes:
    """A 16-bit wav file."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def m4a(samples: np.ndarray) -> bytes:
    """An m4a file as VoxCeleb2 is distributed."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def make_tree(root: Path, utterances: int, trials: int, compressed: bool = True) -> None:
    """Write the tree and its cleaned trial lists; `trials` on E, a tenth of them on O."""
    sounds = [sound(voice) for voice in range(VOICES)]
    files = {"wav": [wav(x) for x in sounds]}
    files["m4a"] = [m4a(x) for x in sounds] if compressed else files["wav"]
    named = {}  # of VoxCeleb1, by speaker
    for part, (share, videos) in SHARES.items():
        extension = "m4a" if "aac" in part and compressed else "wav"
        speakers = max(6, round(share * utterances / videos / UTTERANCES))
        speakers = min(speakers, 40) if part == "VoxCeleb1/test/wav" else speakers
        for s in range(speakers):
            speaker = f"id{FIRST[part] + s:05d}"
            for v in range(videos):
                digest = hashlib.sha256(f"{speaker} {v}".encode()).digest()
                video = base64.urlsafe_b64encode(digest)[:11].decode()
                folder = root / part / speaker / video
                folder.mkdir(parents=True)
                for u in range(UTTERANCES):
                    content = files[extension][(s * 7 + v + u) % VOICES]
                    (folder / f"{u + 1:05d}.{extension}").write_bytes(content)
                    if "VoxCeleb1" in part:
                        key = f"{speaker}/{video}/{u + 1:05d}.wav"
                        named.setdefault(speaker, []).append(key)
    test = [f"id{i}" for i in range(10_270, 10_310) if f"id{i}" in named]
    lists = {"veri_test2.txt": (test, trials // 10)}
    lists["list_test_all2.txt"] = lists["list_test_hard2.txt"] = (sorted(named), trials)
    for seed, (name, (speakers, count)) in enumerate(lists.items()):
        write_trials(root / name, {speaker: named[speaker] for speaker in speakers}, count, seed)


def write_trials(file: Path, named: dict[str, list[str]], count: int, seed: int) -> None:
    """Write `count` random trials, half of them of one speaker."""
    rng = np.random.default_rng(seed)
    speakers = list(named)
    draws = rng.integers(0, 2**31, (count, 4))
    lines = []
    for t, (a, step, i, j) in enumerate(draws):
        first = named[speakers[a % len(speakers)]]
        other = a if t % 2 else a + 1 + step % (len(speakers) - 1)
        second = named[speakers[other % len(speakers)]]
        shift = 1 + j % (len(second) - 1) if t % 2 else j
        lines.append(f"{t % 2} {first[i % len(first)]} {second[(i + shift) % len(second)]}\n")
    file.write_text("".join(lines))


def command(*arguments: str) -> dict:
    """Run one command of `ssps_lib.corpora`; its seconds, megabytes at its peak and output."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ssps_lib.corpora", *map(str, arguments)],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stdout}{done.stderr}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of any child so far
    seconds = round(time.perf_counter() - started, 1)
    return {"seconds": seconds, "peak_mb": round(peak), "output": done.stdout.splitlines()}


def train(packed: Path, steps: int, batch: int) -> tuple[dict, Path]:
    """A few steps of SimCLR's published recipe with a narrow encoder and short frames."""
    from ssps_lib import recipes
    from ssps_lib.encoders.checkpoints import save_encoder
    from ssps_lib.training.loop import Trainer

    class Abbreviated(Trainer):
        def batches(self, epoch: int) -> list[np.ndarray]:
            return super().batches(epoch)[:steps]

        def observe(self, epoch: int) -> dict[str, float]:
            return {}

    config = recipes.recipe(
        "simclr", preset="paper", corpus=str(packed), crop=0.4, reference_crop=0.5,
        batch_size=batch, epochs=1, encoder_options=recipes.ENCODERS["smoke"]["ecapa_tdnn"],
    )  # fmt: skip
    started = time.perf_counter()
    trainer = Abbreviated(config, packed.parent / "run")
    trainer.train()
    file = packed.parent / "encoder.safetensors"
    save_encoder(trainer.framework.representation_encoder, file)
    seconds = round(time.perf_counter() - started, 1)
    return {"total_seconds": seconds, "corpus": len(trainer.corpus), **trainer.metrics[-1]}, file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--utterances", type=int, default=50_000)
    parser.add_argument("--trials", type=int, default=500_000)
    parser.add_argument("--steps", type=int, default=3, help="of the abbreviated epoch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--wav", action="store_true", help="wav in place of m4a")
    arguments = parser.parse_args()
    root, packed = arguments.folder / "voxceleb", arguments.folder / "packed"
    os.environ.setdefault("SSPS_HOME", str(arguments.folder / "home"))
    started = time.perf_counter()
    make_tree(root, arguments.utterances, arguments.trials, not arguments.wav)
    result = {"made": {"seconds": round(time.perf_counter() - started, 1)}}
    result["check"] = command("check", root)
    result["pack"] = command("pack", root, "--out", packed)
    result["trials"] = command("trials", packed)
    result["epoch"], encoder = train(packed, arguments.steps, arguments.batch)
    result["score"] = command("score", packed, encoder)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
