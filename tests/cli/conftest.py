"""Commands run in this process, with a home folder of their own."""

import sys
from pathlib import Path

import pytest

from ssps_lib.cli import main

sys.path.append(str(Path(__file__).parents[1] / "corpora"))  # the sound files of those tests


@pytest.fixture
def command(capsys, home):
    """Run one command; returns its status, output and error output."""

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = left.code
        return (status, *capsys.readouterr())

    return run
