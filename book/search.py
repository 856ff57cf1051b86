"""The small recipes, searched on development speakers: every trial is a row of the book's record.

    python book/search.py --list                 # a table of all trials and what they gave
    python book/search.py                        # train what is missing, framework by framework
    python book/search.py --only swav dino
    python book/search.py --only swav --give-up "no queue"   # store what a stopped trial has shown

Each trial changes the recipe that had been scaled down by rule (`SCALED`), an SSL training at
preset `mini`. What it is judged by: EER of the development speakers, and how many pseudo-positives
would be right if SSPS began. A row holds nothing of the test speakers. What was found is the
recipe now, on a corpus of another seed, none of whose speakers these trials heard.
Several processes share the work: each takes the next free trial.
"""

import argparse
import json

from ssps_book import grid, records
from ssps_lib import files, recipes, training

# The recipes that were searched. The published sizes were scaled down by rule: projectors and heads
# as wide for their representation as the paper's for 512, prototypes and outputs as many for each
# speaker, queues and momenta that reach as far back in an epoch, spans of epochs the same part of
# the training.
SCALED: dict[str, dict] = {
    "simclr": {}, "moco": {},
    "swav": {
        "learning_rate": 1e-3,
        "framework_options": {
            "prototypes": 128, "hidden": 512, "dim": 128, "queue_size": 160, "queue_start": 2,
        },
    },
    "vicreg": {"learning_rate": 1e-3, "framework_options": {"hidden": 512, "dim": 128}},
    "dino": {"epochs": 10, "crop": 0.75},
}  # fmt: skip
SIMULATED = {
    "corpus_options": {"speakers": 256, "recordings": 12, "utterances": 2, "channel": 1.4},
    "epochs": 12, "decay": 0.92,
}  # fmt: skip
K = 1024  # of the pairs that a trial is judged by

VOICES = {
    "corpus": "voices", "corpus_options": {"sessions": "simulated", "channel": 0.2},
    "reference_crop": 4.0,
}  # fmt: skip
MONITORS = ("nmi_ratio", "embedding_std", "assignment_entropy", "teacher_entropy")
CONTINUED = ("ssps-clustering", "ssps-nn", "supervised", "ssl-continued")  # of a trial on voices
CLUSTERS = 1474  # on voices: the geometric mean of 690 speakers and 3,147 recordings

# By framework: what is tried, and the changes to the recipe it starts from.
TRIALS: dict[str, dict[str, dict]] = {
    "simclr": {
        "the scaled recipe": {},
        "half the learning rate": {"learning_rate": 5e-4},
        "24 epochs": {"epochs": 24, "decay": 0.9592},
    },
    "moco": {
        "the scaled recipe": {},
        "half the learning rate": {"learning_rate": 5e-4},
    },
    "vicreg": {
        "the scaled recipe": {},
        "half the learning rate": {"learning_rate": 5e-4},
        "half the learning rate, covariance 0.2": {
            "learning_rate": 5e-4, "framework_options": {"covariance": 0.2}
        },
        "half the learning rate, covariance 1": {
            "learning_rate": 5e-4, "framework_options": {"covariance": 1.0}
        },
    },
    "swav": {
        "the scaled recipe": {},
        "1,024 prototypes": {"framework_options": {"prototypes": 1024}},
        "1,024 prototypes, queue of 1,536": {
            "framework_options": {"prototypes": 1024, "queue_size": 1536}
        },
        "1,024 prototypes, temperature 0.05": {
            "framework_options": {"prototypes": 1024, "temperature": 0.05}
        },
        "1,024 prototypes, half the learning rate": {
            "framework_options": {"prototypes": 1024}, "learning_rate": 5e-4,
        },
        "1,024 prototypes, epsilon 0.02": {
            "framework_options": {"prototypes": 1024, "epsilon": 0.02}
        },
        "1,024 prototypes, epsilon 0.02, half the learning rate": {
            "framework_options": {"prototypes": 1024, "epsilon": 0.02}, "learning_rate": 5e-4,
        },
        "1,024 prototypes, epsilon 0.02, a quarter of the learning rate": {
            "framework_options": {"prototypes": 1024, "epsilon": 0.02}, "learning_rate": 2.5e-4,
        },
        "1,024 prototypes, epsilon 0.02, a quarter of the learning rate, 24 epochs": {
            "framework_options": {"prototypes": 1024, "epsilon": 0.02}, "learning_rate": 2.5e-4,
            "epochs": 24, "decay": 0.9592,
        },
        "no queue": {"framework_options": {"queue_size": 0}},
        "three times the learning rate": {"learning_rate": 3e-3},
    },
    "dino": {
        "the scaled recipe": {},
        "Adam": {"optimizer": "adam", "learning_rate": 1e-3, "schedule": "step",
                 "weight_decay": 0.0, "warmup_epochs": 0},
        "global frames of 3 s": {"crop": 1.5},
        "3 s, batch of 32": {
            "crop": 1.5, "batch_size": 32, "framework_options": {"momentum": 0.995}
        },
        "3 s, half the learning rate": {"crop": 1.5, "learning_rate": 0.05},
        "3 s, 2 local frames": {"crop": 1.5, "framework_options": {"local_crops": 2}},
        "3 s, teacher at 0.04": {"crop": 1.5, "framework_options": {"teacher_temperature": 0.04}},
    },
    "simclr on voices": {
        "channel 0.2, 40 epochs": {**VOICES, "epochs": 40, "decay": 0.96},
        "channel 0.4, 24 epochs, reference frames of 6 s": {
            **VOICES, "epochs": 24, "decay": 0.93, "reference_crop": 6.0,
            "corpus_options": {"sessions": "simulated", "channel": 0.4},
        },
    },
}  # fmt: skip


def config(framework: str, changes: dict, positives: str = "ssl") -> training.RunConfig:
    """A run of a trial: the SSL training, or what continues it."""
    name, *on_voices = framework.split()
    scaled = SCALED[name]
    changes = {**({} if on_voices else SIMULATED), **scaled, **changes}
    if on_voices:
        changes["corpus"] = str(files.home() / "corpora" / changes["corpus"])
    own = changes.pop("framework_options", {})
    made = recipes.recipe(name, positives, preset="mini", **changes)
    options = scaled.get("framework_options", made.framework_options)  # not added to the recipe's
    frame = {name: changes[name] for name in ("reference_crop",) if name in changes}
    parent = made.start_from and made.start_from.with_(**frame)  # it is named by it, too
    return made.with_(framework_options={**options, **own}, start_from=parent, **frame)


def trial(framework: str, label: str) -> dict:
    """Train a trial and judge it by the development speakers; a row of the table."""
    changes = TRIALS[framework][label]
    run = training.run(config(framework, changes))
    k, continued = K, {}
    if "corpus" in changes:
        continued, k = continue_(framework, changes), CLUSTERS
    found = grid.measure(run.config, clusters=(k,), windows=(0, 1), nearest=(1,))
    start = {f"{r['positives']}, M = {r['m']}": r["speaker_accuracy"] for r in found["rows"]}
    return {
        "framework": framework, "label": label, "changes": changes, "name": run.name,
        **shown(run.record["metrics"]), "start": start, **continued,
        "seconds": run.record["seconds"], "machine": run.record["machine"],
    }  # fmt: skip


def shown(rows: list[dict]) -> dict:
    """What the epochs of a trial showed of the development speakers, and of a collapse."""
    curve = [row["dev_eer"] for row in rows]
    last = {name: value for name, value in rows[-1].items() if name in MONITORS}
    return {"dev_eer": curve[-1], "curve": curve, "last": last}


def continue_(framework: str, changes: dict) -> dict:
    """EERs of the development speakers when the SSL training is continued in each way."""
    k = CLUSTERS
    late = {
        "ssps-clustering": {"clusters": k, "window": 1, "positive_queue": k},
        "ssps-nn": {"window": 1},
    }
    rows = {}
    for kind in CONTINUED:
        made = config(framework, changes | late.get(kind, {}), kind)
        rows[kind] = training.run(made).record["metrics"][-1]
    return {
        "continued": {kind: row["dev_eer"] for kind, row in rows.items()},
        "accuracy": {kind: row.get("speaker_accuracy") for kind, row in rows.items()},
    }


def given_up(framework: str, label: str) -> dict:
    """The row of a trial that was stopped by hand: the epochs that it has shown."""
    changes = TRIALS[framework][label]
    made = config(framework, changes)
    lines = (training.run_folder(made) / "metrics.jsonl").read_text().splitlines()
    return {"framework": framework, "label": label, "changes": changes, "name": made.name,
            "stopped": len(lines), **shown(list(map(json.loads, lines))), "start": {}}  # fmt: skip


def path(framework: str, label: str) -> str:
    """The name of a trial's stored row."""
    return f"search-{config(framework, TRIALS[framework][label]).name}"


def main(arguments: list[str] | None = None) -> None:
    """Take the next free trial until there is none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--list", action="store_true", help="train nothing, only show the rows")
    parser.add_argument("--give-up", metavar="LABEL", help="store what a stopped trial has shown")
    options = parser.parse_args(arguments)
    if options.give_up:
        (name,) = options.only
        records.save_values(path(name, options.give_up), given_up(name, options.give_up))
    todo = [(name, label) for name in options.only for label in TRIALS[name]]
    for name, label in todo if not (options.list or options.give_up) else ():
        try:
            with files.alone(files.home() / "search" / path(name, label), "this trial", wait=False):
                if records.load_values(path(name, label)) is None:
                    print(f"{name}: {label}", flush=True)
                    records.save_values(path(name, label), trial(name, label))
        except files.RefusedError:
            continue  # another process is at it
    rows = [(name, label, records.load_values(path(name, label))) for name, label in todo]
    for name, label, row in rows:
        start = " ".join(f"{share:5.3f}" for share in row["start"].values()) if row else ""
        eer = f"{row['dev_eer']:6.2f} %" if row else ""
        start = f"stopped after epoch {row['stopped']}" if row and "stopped" in row else start
        print(f"{name:18}{label:72}{eer:10}{start}".rstrip())
    print(f"{sum(row is not None for *_, row in rows)} of {len(rows)} trials have a row")


if __name__ == "__main__":
    main()
