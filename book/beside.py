"""The stored chapter as a page beside its re-execution, so that the two can be compared.

In a copy of the book, `05_ssps.ipynb` is the chapter just executed and `05_ssps_stored.ipynb` the
one of the repository. The second follows the first in the table of contents, and each links to
the other. Labels of figures and equations must differ between pages: those of the stored page end
in "-stored", wherever it defines or uses them.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

LABELS = (
    re.compile(r"^\(([\w-]+)\)=", re.M),  # of a heading
    re.compile(r"^:(?:name|label): *([\w-]+)", re.M),  # of a directive
    re.compile(r"\$\$ *\(([\w-]+)\)"),  # of an equation
)


def place(stored: Path, executed: Path, asked: dict[str, object]) -> Path:
    """Put the stored chapter beside the executed one; returns the page's file.

    Args:
        stored: the chapter of the repository.
        executed: where it was executed, in a folder with a table of contents.
        asked: the parameters it was executed with.
    """
    beside = executed.with_name(f"{executed.stem}_stored.ipynb")
    new, old = nbformat.read(executed, as_version=4), nbformat.read(stored, as_version=4)
    given = ", ".join(f"`{name} = {value!r}`" for name, value in asked.items())
    given = f"with {given}" if given else "as it is stored"
    _note(new, f"Executed again, {given}. Compare [the stored outputs]({beside.name}).")
    _rename(old, labels(old))
    _note(
        old,
        "These are the outputs stored in the repository. Compare [the chapter executed again, "
        f"{given}]({executed.name}).",
        ", as stored",
    )
    nbformat.write(new, executed)
    nbformat.write(old, beside)
    contents = executed.with_name("_toc.yml")
    contents.write_text(listed(contents.read_text(), executed.stem, beside.stem))
    return beside


def labels(notebook: NotebookNode) -> set[str]:
    """The labels that a chapter defines: of headings, equations, directives and figures of cells.

    >>> from nbformat.v4 import new_markdown_cell, new_notebook
    >>> text = "(sec-a)=\\n# A\\n\\n$$x = 1$$ (eq-x)\\n\\nsee {eq}`eq-y`"
    >>> sorted(labels(new_notebook(cells=[new_markdown_cell(text)])))
    ['eq-x', 'sec-a']
    """
    found = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found |= {name for pattern in LABELS for name in pattern.findall(cell.source)}
        found |= {figure["name"] for figure in _figures(cell)}
    return found


def listed(contents: str, chapter: str, beside: str) -> str:
    """The table of contents (YAML), with parts or without, and the page `beside` after the chapter.

    >>> print(listed("root: 01_a\\nchapters:\\n- file: 02_b\\n", "01_a", "01_a_stored"), end="")
    root: 01_a
    chapters:
    - file: 01_a_stored
    - file: 02_b
    """
    table = yaml.safe_load(contents)
    parts = [part["chapters"] for part in table.get("parts", [table])]
    if table["root"] == chapter:
        parts[0].insert(0, {"file": beside})
    for entries in parts:
        files = [entry["file"] for entry in entries]
        if chapter in files:
            entries.insert(files.index(chapter) + 1, {"file": beside})
    return yaml.safe_dump(table, sort_keys=False)


def _figures(cell: NotebookNode) -> list[dict]:
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    return [figure] if "name" in figure else []


def _rename(notebook: NotebookNode, names: set[str]) -> None:
    """Let the labels end in "-stored", where they are defined and where they are used."""
    if not names:
        return
    longest_first = sorted(names, key=len, reverse=True)
    label = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?![\w-])")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = label.sub(r"\1-stored", cell.source)
        for figure in _figures(cell):
            figure["name"] += "-stored"
            figure["caption"] = label.sub(r"\1-stored", figure.get("caption", ""))
        for output in cell.get("outputs", []):  # text that cells wrote as Markdown
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = label.sub(r"\1-stored", data["text/markdown"])


def _note(notebook: NotebookNode, text: str, title: str = "") -> None:
    """Add to the chapter's title, and put a note below it."""
    cell = notebook.cells[0]
    before, heading, after = re.split(r"^(# .+)$", cell.source, maxsplit=1, flags=re.M)
    cell.source = f"{before}{heading}{title}\n\n:::{{note}}\n{text}\n:::{after}"
