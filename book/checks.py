"""What an executed chapter must be before it is stored, as a list of faults in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode

LINE_WIDTH = 78  # longer code lines are clipped on the page
PARAMETER = re.compile(r"\w+: [^=]+ = .+# +\S+")  # name: type = default  # help
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:home|Users|root|work|tmp|mnt|opt|var)/[\w.-]+")
REMOTE_ASSET = re.compile(
    r"<(?:script|link|img|audio|video|source|iframe)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//", re.I
)


def problems(notebook: NotebookNode, keep_injected: bool = False) -> list[str]:
    """Return what makes an executed notebook unfit to be stored, one line for each fault."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    found = [*_parameter_faults(code), *_leftovers(notebook, keep_injected)]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not executed once each, in order")
    if not any(cell.outputs for cell in code):
        found.append("it has no output")
    for number, cell in enumerate(code, start=1):
        found += [f"cell {number}: {fault}" for fault in _cell_faults(cell)]
    return found


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell, none for a cell without."""
    return cell.metadata.get("tags", [])


def _parameter_faults(code: list[NotebookNode]) -> Iterator[str]:
    tagged = [cell for cell in code if "parameters" in tags(cell)]
    if len(tagged) > 1:
        yield f"it has {len(tagged)} cells tagged parameters instead of one"
    for cell in tagged:
        for line in filter(str.strip, cell.source.splitlines()):
            if not PARAMETER.match(line):
                yield f"parameter line {line!r} lacks a type or a help comment"


def _leftovers(notebook: NotebookNode, keep_injected: bool) -> Iterator[str]:
    if any("papermill" in part.metadata for part in (notebook, *notebook.cells)):
        yield "papermill metadata is left in"
    marks = {tag for cell in notebook.cells for tag in tags(cell)}
    if "injected-parameters" in marks and not keep_injected:
        yield "an injected-parameters cell is left in"
    if any("papermill-error" in mark for mark in marks):
        yield "papermill's error banner is left in"


def _cell_faults(cell: NotebookNode) -> Iterator[str]:
    wide = [line for line in cell.source.splitlines() if len(line) > LINE_WIDTH]
    if wide and "injected-parameters" not in tags(cell):
        yield f"a line of {len(wide[0])} columns where {LINE_WIDTH} fit: {wide[0]!r}"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"a stored error, {output.ename}: {output.evalue}"
        for text in _texts(output):
            if path := MACHINE_PATH.search(text):
                yield f"a path of one machine in its output, {path[0]!r}"
            if REMOTE_ASSET.search(text):
                yield "an asset from another site in its output"


def _texts(output: NotebookNode) -> Iterator[str]:
    """Yield the readable texts of an output; encoded images and sounds are left out."""
    yield output.get("text", "")
    for kind, content in output.get("data", {}).items():
        if isinstance(content, str) and not kind.startswith(("image/png", "image/jpeg", "audio/")):
            yield re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", content)
