"""Every page in a headless browser: whole, without an error, for phones, keyboards and the dark."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from browser import BROWSER, REQUIRED, axe, walk

if BROWSER is None and not REQUIRED:
    pytest.skip("no Chromium on this machine, so pages were not looked at", allow_module_level=True)

PHONE = 390  # CSS pixels
LOOK = """
  const found = { faults: view.faults(), dom: view.document.querySelector("article")?.outerHTML };
  await view.width(PHONE);
  const root = view.document.documentElement;
  found.beyond = Math.max(0, root.scrollWidth - PHONE);
  found.serious = [];
  if (AXE) {
    found.serious.push(...await view.axe({ runOnly: ["scrollable-region-focusable"] }));
    await view.width(1280);
    if (!WHOLE) view.lighten();
    view.unfold();
    await view.theme("light");
    found.serious.push(...await view.axe());
    await view.theme("dark");
    found.serious.push(...await view.axe({ runOnly: ["color-contrast"] }));
  }
  return found;
"""
without_axe = pytest.mark.skipif(
    axe() is None and not REQUIRED,
    reason="axe-core-python is not installed, so accessibility was not looked at",
)


@dataclass(frozen=True)
class Seen:
    """A page as written and as the browser had it after running its scripts."""

    source: str
    dom: str | None
    faults: list[str]
    beyond: int  # pixels that stick out at the width of a phone
    serious: list[str]  # serious and critical findings of axe-core


def look(site, pages, profile) -> dict[str, Seen]:
    """What the browser saw of each page, by its address; code and signatures on one page each."""
    names = [page.relative_to(site).as_posix() for page in pages]
    steps = []
    for name in names:
        whole = int(name.startswith(("06_", "api/losses")))
        wanted = f"const PHONE = {PHONE}, AXE = {int(axe() is not None)}, WHOLE = {whole};"
        steps.append({"page": name, "do": wanted + LOOK})
    reports = walk(site, steps, profile)
    return {
        name: Seen(page.read_text(encoding="utf-8"), **report)
        for name, page, report in zip(names, pages, reports, strict=True)
    }


@pytest.fixture(scope="module")
def seen(build, tmp_path_factory):
    return look(build.html, build.pages, tmp_path_factory.mktemp("browser") / "profile")


def faults(page: Seen) -> list[str]:
    """What a reader would miss on a page."""
    if page.dom is None:
        return ["has no article"]
    found = []
    formulas = len(re.findall(r'class="[^"]*\bmath notranslate', page.source))
    typeset = page.dom.count("<mjx-container")
    if formulas != typeset:
        found.append(f"{typeset} of {formulas} formulas are typeset")
    found += [f"formula error: {m}" for m in re.findall(r'data-mjx-error="([^"]*)"', page.dom)]
    if re.search(r'fill="red"|color: red', page.dom):
        found.append("a formula uses an undefined macro")
    return found + page.faults


def wrong(pages, what) -> dict:
    """The pages of which `what` is anything but nothing."""
    return {name: what(page) for name, page in pages.items() if what(page)}


def test_every_page_is_as_it_should_be(seen):
    assert len(seen) > 20
    assert wrong(seen, faults) == {}


def test_no_page_is_wider_than_a_phone(seen):
    assert wrong(seen, lambda page: page.beyond) == {}


@without_axe
def test_no_serious_finding_of_accessibility_in_both_themes(seen):
    assert axe() is not None, "SSPS_REQUIRE_BROWSER is set: install axe-core-python"
    assert wrong(seen, lambda page: page.serious) == {}


def test_each_fault_is_seen(build, tmp_path):
    """A real page of the book, spoilt in many ways."""
    page, site = build.pages[0], tmp_path / "site"
    site.mkdir()
    for each in build.html.iterdir():
        (site / each.name).symlink_to(each)
    spoilt = site / "spoilt.html"
    formulas = [r"\(\left( x\)", r"\(\nosuch\)", r"\({x\)"]
    spans = "".join(f'<span class="math notranslate nohighlight">{f}</span>' for f in formulas)
    assets = '<img src="gone.png"><img src="http://other.example/a.png">'
    bad = '<p style="color:#999;background:#aaa">pale</p><div style="width:900px">wide</div>'
    script = '<script>console.error("oh", "dear")</script>'
    html = page.read_text(encoding="utf-8")
    html = html.replace("</article>", f"{spans}{assets}{bad}{script}</article>", 1)
    spoilt.write_text(html, encoding="utf-8")
    page = look(site, [spoilt], tmp_path / "profile")["spoilt.html"]
    said = "; ".join(faults(page))
    for part in ("formulas are typeset", "formula error", "undefined macro", "gone.png",
                 "asks for http://other.example/a.png", "console: oh dear"):  # fmt: skip
        assert part in said
    assert page.beyond > 400
    if axe():
        assert any(found.startswith(("color-contrast", "image-alt")) for found in page.serious)


EXPLORE = """
  const box = await view.until(() => view.document.querySelector(".explorable:not([hidden])"));
  const part = (name) => box.querySelector(name);
  const told = () => [part("output").textContent, part("svg[role]").outerHTML];
  const found = { before: told() };
  const slider = box.querySelector("input[type=range]");
  found.valuetext = [slider.getAttribute("aria-valuetext")];
  slider.focus();
  found.focused = view.document.activeElement === slider;
  slider.value = Number(slider.value) === Number(slider.max) ? 0 : slider.max;
  slider.dispatchEvent(new Event("input"));
  found.after = told();
  found.valuetext.push(slider.getAttribute("aria-valuetext"));
  const shown = (node) => getComputedStyle(node).display !== "none";
  found.picture = shown(box.parentElement.querySelector("img"));
  return found;
"""
STILL = """
  const boxes = [...view.document.querySelectorAll(".explorable")];
  const figures = boxes.map((box) => JSON.parse(box.querySelector("script").textContent).figure);
  const images = figures.map((name) => view.document.getElementById(name).querySelector("img"));
  return { boxes: boxes.map((box) => box.getBoundingClientRect().height),
           images: images.map((image) => image.getBoundingClientRect().height) };
"""


@pytest.mark.parametrize(
    ("page", "picture"),
    [("11_representations.html", False), ("08_clusters.html", True), ("05_ssps.html", False)],
)
def test_a_slider_changes_what_is_shown(build, page, picture, tmp_path):
    steps = [{"page": page, "do": EXPLORE}, {"page": f"{page}?no-scripts", "do": STILL}]
    moved, still = walk(build.html, steps, tmp_path / "profile")
    assert moved["focused"]
    assert moved["valuetext"][0] != moved["valuetext"][1]
    assert moved["before"][0] != moved["after"][0], "the words stayed"
    assert moved["before"][1] != moved["after"][1], "the drawing stayed"
    assert moved["picture"] == picture
    assert still["boxes"] and set(still["boxes"]) == {0}
    assert min(still["images"]) > 50, "without scripts the static figure is missing"


PLAY = """
  const box = await view.until(() => view.document.querySelector(".explorable:not([hidden])"));
  const button = box.querySelector("button"), slider = box.querySelector("input[type=range]");
  const found = { words: [button.textContent], lines: box.querySelectorAll("svg line").length };
  button.click();
  found.words.push(button.textContent);
  await view.until(() => Number(slider.value) > 1);
  found.drawn = box.querySelector("output").textContent;
  button.click();
  found.words.push(button.textContent);
  return found;
"""


def test_the_bootstrap_plays_and_pauses(build, tmp_path):
    (found,) = walk(build.html, [{"page": "05_ssps.html", "do": PLAY}], tmp_path / "profile")
    assert found["words"] == ["Play", "Pause", "Play"]
    assert found["lines"] > 100
    assert "epochs of SSPS" in found["drawn"]


def test_the_search_finds_a_term(build, tmp_path):
    find = """
      const said = () => view.document.querySelector(".search-summary")?.innerText || "";
      await view.until(() => said().includes("finished"));
      return [...view.document.querySelectorAll("#search-results li a")].map((a) => a.href);
    """
    steps = [{"page": "search.html?q=pseudo-positive", "do": find}]
    (found,) = walk(build.html, steps, tmp_path / "profile")
    pages = {build.html / urlsplit(address).path.lstrip("/") for address in found}
    holding = [p.name for p in pages if "pseudo-positive" in p.read_text(encoding="utf-8")]
    assert "05_ssps.html" in holding or "glossary.html" in holding
