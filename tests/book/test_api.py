"""The pages of the API reference: no module forgotten, none invented, and a drawing up to date."""

import importlib.util
import re

import pytest

from execute import BOOK, CHAPTERS

ROOT = BOOK.parent
PAGES = sorted((BOOK / "api").glob("*.md"))
COMMANDS = {"ssps_lib.__main__", "ssps_lib.training.__main__"}
DIRECTIVE = re.compile(r"^\.\. automodule:: (\S+)$", re.M)


def script(name):
    """A module of book/api, which is no package."""
    spec = importlib.util.spec_from_file_location(name, BOOK / "api" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


diagram, plain_docstrings = script("diagram"), script("plain_docstrings")
references = script("cross_references")
MOVED = script("redirects").MOVED


def modules():
    """All modules of the library but the packages that only gather names."""
    for file in (ROOT / "ssps_lib").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name not in COMMANDS and re.search(r"^(def|class) ", file.read_text(), re.M):
            yield name


def described():
    return [name for page in PAGES for name in DIRECTIVE.findall(page.read_text())]


def test_every_module_is_described_once():
    found = described()
    assert len(found) == len(set(found))
    forgotten = set(modules()) - {"ssps_lib"} - set(found)
    assert not forgotten, "add them to a page of book/api with an automodule directive"


def test_every_module_described_exists():
    for name in described():
        path = (BOOK if name.startswith("ssps_book") else ROOT).joinpath(*name.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name


@pytest.mark.parametrize("page", [*PAGES, BOOK / "glossary.md"], ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+\.(?:ipynb|md))\)", page.read_text())
    assert targets
    assert [t for t in targets if not (page.parent / t).is_file()] == []


def test_the_overview_lists_every_page():
    text = (BOOK / "api" / "index.md").read_text()
    assert [p.name for p in PAGES if p.stem != "index" and f"({p.name})" not in text] == []


def test_the_drawing_of_the_library_is_up_to_date():
    assert diagram.TARGET.read_text() == diagram.draw(diagram.imports()), (
        "the imports have changed: python book/api/diagram.py"
    )


def test_rooms_are_read_from_top_level_imports(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "__init__.py").write_text("from ssps_lib.a import x\n")
    (tmp_path / "a.py").write_text("import ssps_lib.c\nfrom ssps_lib import b\nimport torch\n")
    (tmp_path / "b" / "x.py").write_text("from ssps_lib.b.y import z\nfrom ssps_lib.c import q\n")
    (tmp_path / "c.py").write_text("def f():\n    from ssps_lib.a import late\n")
    rooms = diagram.imports(tmp_path)
    assert rooms == {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert diagram.floors(rooms) == {"a": 2, "b": 1, "c": 0}
    assert diagram.direct(rooms) == [("a", "b"), ("b", "c")]


def test_every_room_stands_above_what_it_imports():
    rooms = diagram.imports()
    place = diagram.places(rooms)
    assert all(place[room][1] > place[used][1] for room in rooms for used in rooms[room])
    assert len(set(place.values())) == len(rooms), "two boxes on one place"


def test_rooms_lie_just_below_those_that_import_them():
    rooms = {"a": {"b", "x"}, "b": {"c"}, "c": set(), "x": set(), "alone": set()}
    assert diagram.raised(rooms) == {"a": 2, "b": 1, "c": 0, "x": 1, "alone": 0}


def test_a_circle_of_imports_is_refused():
    with pytest.raises(ValueError, match="import each other in a circle: a, b"):
        diagram.floors({"a": {"b"}, "b": {"a"}, "c": set()})


@pytest.mark.parametrize(
    ("line", "escaped"),
    [
        ("rows (B, *shape) of |Q'|", r"rows (B, \*shape) of \|Q'\|"),
        ("as `RunConfig`s, `a * b` stays", r"as `RunConfig`\ s, `a * b` stays"),
        ("Attributes (after `refresh`):", "Attributes:"),
        (">>> f(*x)  # `a`b", ">>> f(*x)  # `a`b"),
    ],
)
def test_docstrings_are_read_as_prose(line, escaped):
    assert plain_docstrings.plain([line]) == [escaped]


def test_what_an_example_prints_is_left_alone():
    lines = ["    >>> x", "    [* | *]", "", "    a * b"]
    assert plain_docstrings.plain(lines) == [*lines[:3], r"    a \* b"]


def chapters_of(html):
    return [p for p in sorted(html.glob(CHAPTERS.replace("ipynb", "html"))) if p.stem not in MOVED]


def test_every_chapter_leads_to_the_entries_that_it_uses(build):
    linked = ("api/ssps_book.html#", "#ssps_lib.")
    lacking = [
        page.stem
        for page in chapters_of(build.html)
        if not any(link in page.read_text() for link in linked)
    ]
    assert chapters_of(build.html) and lacking == []
    page = (build.html / "04_frameworks.html").read_text()
    assert 'href="api/losses.html#ssps_lib.losses.nt_xent"' in page


def test_entries_lead_to_the_chapters_that_use_them(build):
    losses = (build.html / "api" / "losses.html").read_text()
    entry = losses.partition('id="ssps_lib.losses.nt_xent"')[2].partition('id="ssps_lib.')[0]
    assert 'href="../04_frameworks.html"' in entry
    pages = (build.html / "api" / "ssps_book.html").read_text()
    assert re.search(r'href="../01_introduction.html"><span class="doc">[Cc]hapter 1<', pages)


def test_uses_are_read_through_aliases_and_packages():
    code = ["from ssps_lib import positives, training as t", "positives.Clustering(4, 1)\nt.run"]
    names = {references.defined(name) for name in references.used(code)}
    assert "ssps_lib.positives.clustering.Clustering" in names
    assert "ssps_lib.training.run.run" in names


@pytest.mark.parametrize("text", ["config.json", "Trainer.nothing", "seed", "K", "losses.*"])
def test_other_code_is_no_link(text):
    entries = {"ssps_lib.losses.moco", "ssps_lib.training.loop.Trainer"}
    assert references.entry_of(text, entries) is None
