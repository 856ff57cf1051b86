"""The pages: built without a warning, whole, and in need of no other site."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "audio": "src", "video": "src", "source": "src"}
HEAVY = 2_000_000  # bytes of a page with its figures and sounds
FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect"}


MARKUP = re.compile(r"\$[^$\n]{1,40}\$|\*\*\w[^*\n]{0,40}\*\*")  # what no reader should see
QUOTED = {"script", "style", "pre", "code"}


class Page(HTMLParser):
    """Anchors that a page offers, links that it makes, assets that it loads, and its prose."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.assets, self.prose = set(), [], [], ""
        self.quotes = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_data(self, data):
        if not self.quotes:
            self.prose += data

    def handle_endtag(self, tag):
        self.quotes -= tag in QUOTED

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.quotes += tag in QUOTED
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and FETCHED_LINKS & set(found.get("rel", "").split()):
            self.assets.append(found["href"])
        if found.get(LOADED.get(tag, "")):
            self.assets.append(found[LOADED[tag]])


@cache
def read(path: Path) -> Page:
    """A page; most are linked from all others."""
    return Page(path)


def resolve(page: Path, address: str) -> tuple[Path, str]:
    """The file and the anchor that a relative address on a page points to."""
    parts = urlsplit(address)
    return (page.parent / unquote(parts.path) if parts.path else page), unquote(parts.fragment)


def faults(page: Path) -> list[str]:
    """Broken internal links, missing assets and assets of other sites on one page."""
    own, found = read(page), []
    for address in own.assets:
        if address.startswith("data:"):
            continue
        if urlsplit(address).netloc:
            found.append(f"loads {address}")
        elif not resolve(page, address)[0].is_file():
            found.append(f"lacks {address}")
    for address in own.links:
        if urlsplit(address).scheme or urlsplit(address).netloc or address == "#":
            continue
        target, anchor = resolve(page, address)
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            found.append(f"dead link {address}")
        elif anchor and target.suffix == ".html" and anchor not in read(target).anchors:
            found.append(f"dead anchor {address}")
    return found


def test_strict_build_passes(build):
    assert build.status == 0, build.log[-3000:]


def test_every_page_is_whole(build):
    assert len(build.pages) >= 2
    assert {page.name: faults(page) for page in build.pages if faults(page)} == {}


def test_no_markup_is_left_in_the_prose(build):
    """Outputs are Markdown without formulas: a dollar sign there stays one."""
    left = {page.name: MARKUP.findall(read(page).prose) for page in build.pages}
    assert {name: found for name, found in left.items() if found} == {}


def weight(page: Path) -> int:
    """Bytes of a page and of what it loads but the style and scripts that all pages share."""
    own = {resolve(page, a)[0] for a in read(page).assets if not a.startswith("data:")}
    return sum(f.stat().st_size for f in {page, *own} if f.is_file() and "_static" not in f.parts)


def test_no_page_is_heavy(build):
    weights = {page.name: weight(page) for page in build.pages}
    assert max(weights.values()) > 10_000
    assert {name: bytes_ for name, bytes_ in weights.items() if bytes_ > HEAVY} == {}


def test_no_page_names_this_machine(build):
    """Values of the library's constants, say, that are paths."""
    here = str(Path(__file__).parents[2])
    assert [page.name for page in build.pages if here in page.read_text(encoding="utf-8")] == []


def test_style_sheets_stay_on_the_site(build):
    sheets = list(build.html.rglob("*.css"))
    assert sheets
    remote = re.compile(r"(?:@import\s+(?:url\()?|url\()[\"']?(?:https?:)?//")
    assert [s.name for s in sheets if remote.search(s.read_text(errors="replace"))] == []


def test_each_fault_of_a_page_is_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<h1 id="top">x</h1><a href="#top">a</a><a href="https://a.org/">b</a>'
        '<a href="gone.html">c</a><a href="page.html#no">d</a><img src="no.png">'
        '<script src="//cdn.org/a.js"></script><link rel="stylesheet" href="no.css">'
    )
    expected = ["lacks no.png", "loads //cdn.org/a.js", "lacks no.css", "dead link gone.html"]
    assert faults(page) == [*expected, "dead anchor page.html#no"]
