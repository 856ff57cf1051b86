"""Train every run that the chapters draw from, one after the other, and say what is done.

    python book/runs.py --preset mini --list          # a table: recorded, finished, begun, missing
    python book/runs.py --preset mini                 # train what is missing, export the records
    python book/runs.py --preset mini --wide --list   # with Tables I and III: other frameworks

Seed by seed; within a seed, first what others start from, then the longest. An interrupted run
goes on where it was when the same command is given again. Several such processes share the work:
each takes the next run that no other trains.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from ssps_book import ablations, grid, notebook, records, spread
from ssps_lib import files, recipes, training
from ssps_lib.training import RunConfig, is_complete
from ssps_lib.training.run import alone

BOOK = ("ssl", "ssps-clustering", "ssps-nn", "ssl-continued", "supervised")  # chapters 5, 7 and 11
PLAIN = ("ssps-clustering", "ssl-continued")  # without augmentation: chapter 12, Table V
SPREAD = ("simclr, ssl-continued", "simclr, ssps-clustering", "simclr, supervised")
WIDE = ("moco", "swav", "vicreg", "dino")  # with `BOOK` but SSPS-NN: Tables I and III


@dataclass(frozen=True)
class Planned:
    """A run of the book, and what is to be seen of it on this machine."""

    config: RunConfig
    kind: str

    @property
    def state(self) -> str:
        """How far it is: "record", "finished" (not exported), "epoch 3 of 12" or "missing"."""
        if (records.folder() / f"{training.run_name(self.config)}.json").exists():
            return "record"
        if is_complete(self.config):
            return "finished"
        curves = training.run_folder(self.config) / "metrics.jsonl"
        done = len(curves.read_text().splitlines()) if curves.exists() else 0
        return f"epoch {done} of {self.config.epochs}" if done else "missing"

    def line(self) -> str:
        """A line of the table."""
        run = records.load(self.config)
        result = "" if run is None else f"{run.eer:6.2f} % {run.record['seconds'] / 60:5.0f} min"
        return f"{self.kind:46} {self.config.seed}  {self.state:15}{result}".rstrip()


def plan(
    preset: str, seeds: int, seed: int = 1717, wide: bool = False, corpus: str = "simulated"
) -> list[Planned]:
    """All runs of the book, in the order in which they are trained."""
    found = []
    for one in range(seed, seed + seeds):
        planned = [Planned(config, kind) for kind, config in _configs(preset, one, wide, corpus)]
        found += sorted(planned, key=lambda p: (p.config.start_from is not None, -cost(p.config)))
    return found


def _configs(preset: str, seed: int, wide: bool, corpus: str) -> Iterator[tuple[str, RunConfig]]:
    def made(framework: str, name: str, **changes) -> RunConfig:
        return recipes.recipe(framework, name, preset=preset, corpus=corpus, seed=seed, **changes)

    for name in BOOK:
        yield f"simclr, {name}", made("simclr", name)
    for name in PLAIN:
        yield f"simclr, {name}, without augmentation", made("simclr", name, augmentation="none")
    if not wide:
        return
    for framework in WIDE:
        for name in BOOK:
            if name != "ssps-nn":
                yield f"{framework}, {name}", made(framework, name)
    cells = [(framework, grid.SPEAKERS) for framework in WIDE]  # Table III
    cells += [("simclr", cell) for cell in grid.TRAINED if cell != grid.RECIPE]  # Table II
    for framework, (k, m) in cells:
        own = grid.own_clusters(k, preset, corpus)
        config = made(framework, "ssps-clustering", clusters=own, window=m)
        yield f"{framework}, ssps-clustering, K = {own:,}, M = {m}", config
    yield "simclr, ssps-clustering-c", made("simclr", "ssps-clustering-c")
    if corpus == "simulated":
        for label, config in ablations.configs(preset, seed).items():
            if config.start_from != made("simclr", "ssl"):
                yield f"simclr, ssl, for {label}", config.start_from
            yield f"ablation, {label}", config
        for name in ("ssl", "ssps-clustering"):  # chapter 17
            yield f"simclr, {name}, compiled in bf16", made("simclr", name, **notebook.FAST)
    yield "supervised", made("supervised", "ssl")


def cost(config: RunConfig) -> float:
    """About how long a run takes beside others: SSPS also encodes reference frames."""
    extra = config.reference_crop / config.crop / 3 if config.positives.startswith("ssps") else 0
    return config.epochs * (1 + extra)


def left(planned: list[Planned]) -> str:
    """How many runs have no record, and the hours they take one process, at the pace of the runs of
    their framework that have one."""
    missing = [one.config for one in planned if one.state != "record"]
    known = [run for run in (records.load(one.config) for one in planned) if run is not None]
    if not missing or not known:
        return f"{len(missing)} left"
    paces: dict[str, list[float]] = {}
    for run in known:
        pace = run.record["seconds"] / cost(run.config)
        paces.setdefault(run.config.framework, []).append(pace)
    usual = mean(map(mean, paces.values()))
    seconds = sum(cost(c) * mean(paces.get(c.framework, [usual])) for c in missing)
    return f"{len(missing)} left, about {seconds / 3600:.1f} hours of one process"


def free(config: RunConfig) -> bool:
    """Whether no other process trains the run, or one that it starts from."""
    try:
        for one in config.chain:
            if not is_complete(one):
                with alone(one, wait=False):
                    pass
    except files.RefusedError:
        return False
    return True


def train(planned: list[Planned], processes: int) -> list[str]:
    """Train and export what has no record; returns what failed, a line each."""
    waiting, failed = list(planned), []
    while waiting := [one for one in waiting if one.state != "record"]:
        one = next((one for one in waiting if free(one.config)), None)
        if one is None:
            time.sleep(10)
            continue
        waiting.remove(one)
        print(f"{left(planned)}: {one.kind}, seed {one.config.seed}", flush=True)
        try:
            ablations.register(one.config)
            records.export(training.run(one.config, processes))
        except (RuntimeError, ValueError, OSError) as error:  # the others do not depend on it
            failed.append(f"{one.kind}, seed {one.config.seed}: {error}")
    return failed


def measure(planned: list[Planned], preset: str) -> None:
    """Export what needs weights: grids of K and M (chapter 8) and spreads (chapter 11)."""
    for one in planned:
        if one.kind == "simclr, ssl" and is_complete(one.config) and grid.load(one.config) is None:
            print(f"K and M at the start of SSPS, seed {one.config.seed}", flush=True)
            cells = grid.cells(one.config, recipes.CLUSTERS[preset])
            found = grid.measure(one.config, **cells)
            records.save_values(found["name"], found)
        if one.kind in SPREAD and is_complete(one.config):
            spread.store(training.run(one.config))


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    options = _parse(arguments)
    if (options.preset, options.corpus) == ("paper", "simulated"):
        print("error: preset paper is for a large corpus: name it by --corpus", file=sys.stderr)
        return 1
    seeds = options.seeds or notebook.SEEDS[options.preset]
    planned = plan(options.preset, seeds, options.seed, options.wide, options.corpus)
    planned = [one for one in planned if not options.only or one.kind in options.only]
    if not planned:
        print(f"error: no run is called {', '.join(options.only)}: see --list", file=sys.stderr)
        return 1
    failed = []
    if not options.list:
        failed = train(planned, options.processes)
        if options.corpus == "simulated":
            measure(planned, options.preset)
    print(*(one.line() for one in planned), sep="\n")
    done = sum(one.state == "record" for one in planned)
    print(f"{done} of {len(planned)} runs have a record; {left(planned)}")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--preset", choices=recipes.PRESETS, default="smoke")
    add("--corpus", default="simulated", help="simulated, or a folder of recordings")
    add("--list", action="store_true", help="train nothing, only say what is done")
    add("--wide", action="store_true", help="also the other frameworks, of Tables I and III")
    add("--only", nargs="+", metavar="KIND", help="kinds as the table writes them")
    add("--seed", type=int, default=1717, help="the first seed")
    add("--seeds", type=int, help="how many seeds (default: those of the preset)")
    add("--processes", type=int, default=1, help="data-parallel training processes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
