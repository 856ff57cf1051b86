"""`ssps check`, `pack` and `trials`: parsed arguments in, the exit status out."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ssps_lib import corpora
from ssps_lib.cli.output import output, require_place
from ssps_lib.corpora.faults import counted


def check(arguments: argparse.Namespace) -> int:
    """Print the report; 1 where there are faults."""
    report = corpora.check(arguments.corpus, arguments.layout, arguments.decode, arguments.noises)
    print(report)
    return int(bool(report.faults))


def pack(arguments: argparse.Namespace) -> int:
    """Write the packed folder, or what an earlier call left to do of it."""

    def write_noises(train: corpora.Corpus, file: Path) -> None:
        from ssps_lib.augmentation import write_bank
        from ssps_lib.noises import folder_bank

        bank = folder_bank(arguments.noises, train, most=arguments.most)
        write_bank(bank, file)
        kinds = ", ".join(f"{end - begin:,} of {kind}" for kind, (begin, end) in bank.kinds.items())
        print(f"noises of 8 s: {kinds}; {counted(len(bank.responses), 'room')}")

    for place in arguments.noises or ():  # what cannot be is told before the work
        corpora.walk(place)
    if arguments.out is not None:
        require_place(arguments.out)
    folder = corpora.pack(
        arguments.corpus, arguments.out, arguments.layout,
        noises=write_noises if arguments.noises else None,
        workers=arguments.workers, skip_faulty=True,
    )  # fmt: skip
    packed = corpora.read_packed(folder)
    print(f"{folder}: {counted(len(packed), 'utterance')}, {packed.hours:,.1f} hours")
    where = folder.name if arguments.out is None else folder
    print(f"open it with open_corpus('{where}'), or -p corpus {where} of a chapter")
    return 0


def trials(arguments: argparse.Namespace) -> int:
    """What each list asks."""
    with output(arguments.out) as partial:
        for name, splits in opened(arguments.corpus, arguments.layout, arguments.trials):
            print(f"{name}: {_asked(splits)}")
            if partial:
                corpora.write_trials(partial, splits.test_trials, splits.test.keys)
                break
    return 0


def opened(
    corpus: str, layout: str | None, lists: Sequence[str] | None
) -> Iterator[tuple[str, corpora.Splits]]:
    """The corpus with each of its trial lists, or of those given; "made" where it has none."""
    options = {} if layout is None else {"layout": layout}
    for name in lists or corpora.trial_lists(corpus, layout) or [None]:
        yield name or "made", corpora.open_corpus(corpus, trials=name, **options)


def _asked(splits: corpora.Splits) -> str:
    test, trials = splits.test, splits.test_trials
    target = trials.labels == 1
    across = test.recordings[trials.first] != test.recordings[trials.second]
    named = np.unique([trials.first, trials.second])
    speakers = len(np.unique(test.speakers[named]))
    return (
        f"{counted(len(trials), 'trial')}, {target.sum():,} of one speaker "
        f"({(target & across).sum():,} across recordings), {counted(len(named), 'utterance')} of "
        f"{counted(speakers, 'speaker')}"
    )
