"""A Sphinx extension: chapters and the reference lead to each other.

A name of the library in single backticks, `losses.nt_xent` or `training.run()`, is a link to its
entry, and a chapter that a docstring names, as in "chapter 5", one to the chapter. An entry ends
with the chapters whose code uses it, and a chapter with the entries that its code uses. Nothing of
this is written by hand: uses are read off the notebooks, and a name that has no entry stays code.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.util.nodes import make_refnode

PACKAGES = ("ssps_lib", "ssps_book")
CODE = re.compile(r"(`[^`]+`|^\s*>>>.*$)")
CHAPTERS = re.compile(r"\b([Cc]hapters?|[Aa]ppendix) (A?\d+(?:(?:, | and | to )\d+)*)")


@cache
def chapters(book: Path) -> dict[str, str]:
    """Number -> page of each chapter and appendix in a folder, without stored copies."""
    files = sorted(book.glob("[0-9A][0-9]_*.ipynb"))
    return {f.stem[:2].lstrip("0"): f.stem for f in files if not f.stem.endswith("_stored")}


def with_links(line: str, pages: dict[str, str]) -> str:
    """A line of a docstring in which the chapters that it names are links.

    >>> with_links("as in chapters 5 and 99", {"5": "05_ssps"})
    'as in chapters :doc:`5 </05_ssps>` and 99'
    >>> with_links("Appendix A2 says `chapter 5`", {"A2": "A2_records"})
    ':doc:`Appendix A2 </A2_records>` says `chapter 5`'
    """

    def one(word: str, number: str) -> str:
        page = pages.get(number)
        return f":doc:`{word}{number} </{page}>`" if page else word + number

    def phrase(match: re.Match) -> str:
        word, numbers = match.groups()
        if numbers.isalnum():
            return one(f"{word} ", numbers)
        return f"{word} " + re.sub(r"\d+", lambda number: one("", number[0]), numbers)

    parts = CODE.split(line)  # prose, code, prose, code, ...
    parts[::2] = [CHAPTERS.sub(phrase, prose) for prose in parts[::2]]
    return "".join(parts)


def used(sources: Iterable[str]) -> set[str]:
    """Full names of what the code cells of a chapter use of the library, as they are written.

    >>> sorted(used(["from ssps_lib import losses", "losses.moco(q, k, queue.values, 0.1)"]))
    ['ssps_lib.losses', 'ssps_lib.losses.moco']
    """
    known: dict[str, str] = {}
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGES):
                names = {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
                known |= names
                found |= set(names.values())
            chain = _dotted(node)
            if chain and chain[0] in known:
                found.add(".".join([known[chain[0]], *chain[1:]]))
    return found


def _dotted(node: ast.AST) -> list[str]:
    """`a.b.c` as a list of names, empty for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return [*before, node.attr]
    return []


@cache
def defined(name: str) -> str | None:
    """Where the library defines what `name` leads to, None if it leads nowhere.

    >>> defined("ssps_lib.positives.Clustering")
    'ssps_lib.positives.clustering.Clustering'
    >>> defined("ssps_lib.out.ipynb")
    """
    module, *rest = name.split(".")
    try:
        thing = importlib.import_module(module)
        for position, part in enumerate(rest):
            if not hasattr(thing, part):
                importlib.import_module(".".join([module, *rest[: position + 1]]))
            thing = getattr(thing, part)
    except (ImportError, AttributeError):
        return None
    if hasattr(thing, "__path__") or hasattr(thing, "__file__"):
        return thing.__name__
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return name


def entry_of(text: str, entries: Iterable[str]) -> str | None:
    """The entry that a name in backticks means, None if it means none, or might mean several.

    >>> entries = {"ssps_lib.losses.nt_xent", "ssps_lib.training.loop.Trainer"}
    >>> [entry_of(text, entries) for text in ("losses.nt_xent()", "Trainer", "nt_xent")]
    ['ssps_lib.losses.nt_xent', 'ssps_lib.training.loop.Trainer', None]
    """
    text = re.sub(rf"^({'|'.join(PACKAGES)})\.", "", text.removesuffix("()"))
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", text) or not ("." in text or text[0].isupper()):
        return None
    for full in (defined(f"{package}.{text}") for package in PACKAGES):
        if full in entries:
            return full
    ends = [entry for entry in entries if entry.endswith(f".{text}")]
    return ends[0] if len(ends) == 1 else None


@cache
def uses(book: Path) -> dict[str, set[str]]:
    """Page of a chapter -> full names of what its code uses."""
    found = {}
    for page in chapters(book).values():
        cells = json.loads((book / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        found[page] = {name for name in map(defined, used(code)) if name}
    return found


def in_docstrings(app, what, name, obj, options, lines: list[str]) -> None:
    """Chapters named in a docstring become links; those that use the entry are listed below it."""
    book = Path(app.srcdir)
    pages = {n: page for n, page in chapters(book).items() if page in app.env.found_docs}
    lines[:] = [with_links(line, pages) for line in lines]
    users = [n for n, page in pages.items() if name in uses(book)[page]]
    if what != "module" and users:
        links = ", ".join(f":doc:`{n} </{pages[n]}>`" for n in users)
        lines += ["", f"*In the book:* {'chapters' if len(users) > 1 else 'chapter'} {links}.", ""]


def in_pages(app, doctree: nodes.document, page: str) -> None:
    """Names of the library become links; a chapter ends with the entries that it uses."""
    entries = app.env.domains["py"].objects
    for code in list(doctree.findall(nodes.literal)):
        name = entry_of(code.astext(), entries)
        if name and not _inside(code, nodes.reference, nodes.title) and name not in _around(code):
            code.replace_self(_link(app, page, name, entries, code.deepcopy()))
    own = sorted(uses(Path(app.srcdir)).get(page, set()) & set(entries))
    own = [name for name in own if entries[name].objtype != "module"]
    if own:
        line = nodes.paragraph("", "", nodes.emphasis("", "From the library:"), classes=["library"])
        for position, name in enumerate(own):
            line += nodes.Text(", " if position else " ")
            short = nodes.literal("", name.partition(".")[2])
            line += _link(app, page, name, entries, short)
        next(iter(doctree.findall(nodes.section))).append(line)


def _link(app, page: str, name: str, entries, shown: nodes.Node) -> nodes.Node:
    entry = entries[name]
    link = make_refnode(app.builder, page, entry.docname, entry.node_id, shown, name)
    link["classes"].append("library-name")
    return link


def _inside(node: nodes.Node, *kinds: type) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def _around(node: nodes.Node) -> set[str]:
    """The entries in whose descriptions a node stands."""
    found: set[str] = set()
    while node.parent is not None:
        node = node.parent
        if node.tagname == "desc":
            found |= set(node[0].get("ids", []))
    return found


def setup(app) -> dict[str, bool]:
    """Connect to autodoc behind `plain_docstrings` and napoleon, and to finished pages."""
    app.connect("autodoc-process-docstring", in_docstrings, priority=600)
    app.connect("doctree-resolved", in_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
