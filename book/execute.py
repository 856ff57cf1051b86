"""Execute the chapters of the book in order.

    python book/execute.py                                    # store new outputs in book/ itself
    python book/execute.py --preset smoke --output _run/book  # execute a copy, leave book/ alone
    python book/execute.py --chapters 05 -p seed 2 --output _run/book

A chapter runs in a temporary file and reaches its place only when it ran through, was cleaned and
was found sound; a failing chapter prints its last error and leaves the stored notebook untouched.
A chapter stored in book/ keeps its default parameters, in a copy the given ones stay visible; and
chapters that are executed by name get the stored page beside them, to compare.
Runs without a record are trained on the way; `book/runs.py` trains and lists them by themselves.
Each chapter gets a line when it is done: how many are, its name, and its seconds.
"""

from __future__ import annotations

import argparse
import ast
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode

import beside
from checks import problems, tags
from kernels import OwnKernel

BOOK = Path(__file__).resolve().parent
CHAPTERS = "[0-9A][0-9]_*.ipynb"  # and those of the appendix


class ChapterError(Exception):
    """A chapter that cannot be executed or stored, told in one line."""


def main(arguments: list[str] | None = None) -> int:
    """Execute the chapters that the command line asks for; return the exit status."""
    options = _parse(arguments)
    logging.getLogger("papermill").setLevel(logging.INFO if options.verbose else logging.CRITICAL)
    try:
        chapters = select(options.chapters)
        asked = parameters(options)
        refuse_unknown(chapters, [name for name, _ in options.parameter])
        target = stage(options.output)
        for count, chapter in enumerate(chapters, start=1):
            started = time.monotonic()
            execute(chapter, target / chapter.name, asked)
            if options.chapters and target != BOOK:
                beside.place(chapter, target / chapter.name, own(chapter, asked))
            seconds = time.monotonic() - started
            print(f"{count:2} of {len(chapters)}  {chapter.stem:24} {seconds:5.0f} s", flush=True)
    except ChapterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def select(names: Iterable[str] = ()) -> list[Path]:
    """Return the chapters whose file names start with one of `names`, in order; all for none."""
    every = sorted(BOOK.glob(CHAPTERS))
    names = tuple(names)
    for name in names:
        if not any(chapter.name.startswith(name) for chapter in every):
            known = ", ".join(chapter.stem for chapter in every)
            raise ChapterError(f"no chapter is called {name!r}; there are {known}")
    return [chapter for chapter in every if not names or chapter.name.startswith(names)]


def parameters(options: argparse.Namespace) -> dict[str, object]:
    """Return the papermill parameters that the options set, by the name that chapters use."""
    switches = {
        "preset": options.preset,
        "corpus": options.corpus,
        "num_processes": options.processes,
        "seed": options.seed,
    }
    given = {name: value for name, value in switches.items() if value is not None}
    return given | {name: _value(text) for name, text in options.parameter}


def declared(chapter: Path) -> dict[str, dict]:
    """Return the parameters that a chapter's tagged cell declares, by name."""
    return papermill.inspect_notebook(str(chapter))


def own(chapter: Path, asked: dict[str, object]) -> dict[str, object]:
    """Return those of the parameters that a chapter declares."""
    known = declared(chapter)
    return {name: value for name, value in asked.items() if name in known}


def refuse_unknown(chapters: list[Path], names: Iterable[str]) -> None:
    """Raise ChapterError for a parameter that none of the chapters declares, a misspelt one.

    Only those given by `-p` are `names`: a chapter need not have what every chapter may be asked.
    """
    known = sorted({name for chapter in chapters for name in declared(chapter)})
    unknown = sorted(set(names) - set(known))
    if unknown:
        where = ", ".join(chapter.stem for chapter in chapters)
        choice = ", ".join(known) or "none"
        raise ChapterError(f"unknown parameter {', '.join(unknown)}: {where} declares {choice}")


def stage(output: Path | None) -> Path:
    """Return the folder for executed chapters: book/, or `output` with a copy of book/ in it."""
    if output is None or output.resolve() == BOOK:
        return BOOK
    if BOOK in output.resolve().parents:
        raise ChapterError(f"--output {output} lies inside the book that it copies: name another")
    unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "_build", "*.py")
    shutil.copytree(BOOK, output, ignore=unwanted, dirs_exist_ok=True)
    return output.resolve()


def execute(chapter: Path, target: Path, asked: dict[str, object]) -> None:
    """Run a chapter with those of the parameters that it declares and move it to `target`."""
    keep_injected = target.parent != BOOK
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / chapter.name
        try:
            papermill.execute_notebook(
                str(chapter), str(result), own(chapter, asked), kernel_name="python3",
                kernel_manager_class=OwnKernel, shutdown_kernel="immediate",
                progress_bar=bar(chapter),
            )  # fmt: skip
        except Exception as error:  # a failing cell, a dead kernel or a full disk end the chapter
            raise ChapterError(f"{chapter.name}: {_last_line(error)}") from error
        notebook = clean(nbformat.read(result, as_version=4), keep_injected)
        faults = problems(notebook, keep_injected)
        if faults:
            raise ChapterError(f"{chapter.name} ran but is not fit to store: {'; '.join(faults)}")
        nbformat.write(notebook, result)
        shutil.move(result, target)


def bar(chapter: Path) -> dict[str, object]:
    """The options of a bar over the chapter's cells: in a terminal, and after a few seconds."""
    return {"desc": chapter.stem, "disable": None, "leave": False, "delay": 3}


def clean(notebook: NotebookNode, keep_injected: bool = False) -> NotebookNode:
    """Strip what differs from run to run: papermill's metadata, timing, injected cells, stderr."""
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    if not keep_injected:
        notebook.cells = [c for c in notebook.cells if "injected-parameters" not in tags(c)]
    for cell in notebook.cells:
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        if not tags(cell):
            cell.metadata.pop("tags", None)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for count, cell in enumerate(code, start=1):
        _clean_outputs(cell, count)
    return notebook


def _clean_outputs(cell: NotebookNode, count: int) -> None:
    cell.execution_count = count
    cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    for output in cell.outputs:
        if output.output_type == "execute_result":
            output.execution_count = count


def _value(text: str) -> object:
    """Read a parameter as a Python number, True, False or None, else as text: as papermill does."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if value is None or isinstance(value, (bool, int, float)) else text


def _last_line(error: Exception) -> str:
    if hasattr(error, "ename") and hasattr(error, "evalue"):
        return f"{error.ename}: {error.evalue}"
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--preset", help="smoke, mini or paper")
    add("--corpus", help="simulated, or a folder of recordings")
    add("--processes", type=int, help="data-parallel training processes")
    add("--seed", type=int, help="seed of every draw")
    add("--chapters", nargs="+", default=[], metavar="NAME", help="starts of file names, as 05")
    add(
        "-p",
        dest="parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="any parameter of a chapter (papermill --help-notebook book/<chapter> lists them)",
    )
    add("--output", type=Path, metavar="DIR", help="execute a copy of the book in this folder")
    add("--verbose", action="store_true", help="show papermill's log")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
