"""Numbers on the pages: in prose they are published or constants, in tables those of the records.

Results belong into cells that compute them from records. A result typed into prose would stay when
its run changes. So a decimal number, a percentage or a number of thousands may stand in prose only
if the paper printed it, a recipe holds it, or `CONSTANTS` says why.
"""

import json
import re
from dataclasses import asdict

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from execute import BOOK
from ssps_book import paper, records
from ssps_lib import recipes
from ssps_lib.training.config import from_dict

CHAPTERS = sorted(BOOK.glob("*.ipynb"))
NUMBER = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+\.\d+|\d+(?=(?: |~|\\,)?\\?%))(?!\.?[\w,]*\d)"
)
NO_PROSE = re.compile(
    r"^```(?!\{)[^\n]*\n.*?^```"  # code, where numbers are instructions
    r"|^:(?:name|width|class|height):[^\n]*"  # options of a figure
    r"|(?<!`)`[^`]+`(?!`)|\]\([^)]*\)|https?://\S+",  # code and roles, addresses
    re.S | re.M,
)
CONSTANTS = {  # what is neither published nor in a recipe, and why it may be written
    "95": "level of an interval",
    "4,874": "utterances in VoxCeleb1's test set (chapters 10 and 16)",
    "37,720": "trials of VoxCeleb1-O (chapters 10 and 16)",
    "1,251": "speakers of VoxCeleb1-E (chapter 10)",
    "1,190": "speakers of VoxCeleb1-H (chapter 10)",
    "0.03": "temperature of SimCLR, and a difference within Table IV (chapter 10)",
}


def prose(notebook):
    """Texts of a chapter that somebody typed: markdown, captions, alternative texts."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell.source
        drawn = cell.metadata.get("mystnb", {})
        yield drawn.get("figure", {}).get("caption", "")
        yield drawn.get("image", {}).get("alt", "")


def leaves(value):
    """All numbers inside nested dictionaries."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def backed():
    """Every number that the paper printed or a recipe holds, and those that follow from them."""
    for table in paper.TABLES.values():
        for row in table:
            yield from (float(v) for v in (row.eer, row.min_dcf, row.reduction, row.k, row.m) if v)
    for value in [*(r.value for r in paper.READINGS), *paper.README_SSL_EER.values()]:
        yield from (float(value), value / 1e6)  # also as so many million
    for relation in paper.relations():
        for text in (relation.printed, relation.recomputed):
            yield from (float(found[0].replace(",", "")) for found in NUMBER.finditer(text))
    for preset in recipes.PRESETS:
        for name in recipes.FRAMEWORKS:
            yield from leaves(asdict(recipes.recipe(name, preset=preset)))


def unbacked(notebook, known):
    """Numbers in a chapter's prose that nothing backs, with the words around them."""
    found = []
    for text in prose(notebook):
        text = NO_PROSE.sub(" ", text.replace("{,}", ","))
        for match in NUMBER.finditer(text):
            value = float(match[0].replace(",", ""))
            if match[0] not in CONSTANTS and value not in known:
                around = text[max(0, match.start() - 40) : match.end() + 20]
                found.append(f"{match[0]} in '{' '.join(around.split())}'")
    return found


@pytest.fixture(scope="module")
def known():
    return set(backed())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_numbers_in_prose_are_published_or_constants(chapter, known):
    assert unbacked(nbformat.read(chapter, as_version=4), known) == []


@pytest.mark.parametrize(
    ("planted", "number"),
    [
        ("SSPS lowers the EER to 9.87 % here.", "9.87"),
        ("It falls by 31 %.", "31"),
        ("It falls by $31\\,\\%$.", "31"),
        ("There are 7,777 utterances.", "7,777"),
        ("At $K = 7{,}777$ it holds.", "7,777"),
        ("```{figure} a.svg\n:name: fig-a\n:width: 70%\n\nA ratio of 1.234.\n```", "1.234"),
    ],
)
def test_a_planted_number_is_found(planted, number, known):
    (line,) = unbacked(new_notebook(cells=[new_markdown_cell(planted)]), known)
    assert line.startswith(f"{number} in '")


@pytest.mark.parametrize("place", ["caption", "alt"])
def test_a_number_planted_in_a_caption_is_found(place, known):
    cell = new_code_cell("draw()")
    texts = {"caption": "No number.", "alt": "No number."} | {place: "A median of 0.4321."}
    figure = {"caption": texts["caption"], "name": "fig-a"}
    cell.metadata["mystnb"] = {"figure": figure, "image": {"alt": texts["alt"]}}
    assert len(unbacked(new_notebook(cells=[cell]), known)) == 1


@pytest.mark.parametrize(
    "sound",
    [
        "The paper has 2.57 % EER and 0.3033 minDCF with 1,092,009 utterances, a 58 % cut.",
        "SimCLR's temperature is 0.03, an encoder has 22.5 million parameters.",
        "Take `decay=0.1234`, or [this](https://a.org/v9.87).\n\n```bash\nrun -p x 9.87\n```\n",
        "Version 1.2.3 of 2024, Section IV-C, 12 recordings, see {numref}`fig-9.87`.",
    ],
)
def test_published_numbers_and_code_are_sound(sound, known):
    assert unbacked(new_notebook(cells=[new_markdown_cell(sound)]), known) == []


def table(chapter, uuid):
    """Rows of a stored table, by the name that `set_uuid` gave it: lists of the cells' texts."""
    for cell in nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            if f'id="T_{uuid}"' in html:
                body = html.split("<tbody>")[1]
                rows = re.findall(r"<tr>(.*?)</tr>", body, re.S)
                return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in rows]
    return []


def test_status_shows_the_records_as_they_are():
    """Add or remove a record and this fails until appendix A2 is executed again."""
    read = [json.loads(file.read_text()) for file in records.folder().glob("*.json")]
    runs = {from_dict(r["config"]).hash: f"{r['scores']['eer']:.2f}" for r in read if "config" in r}
    shown = {cells[-1]: cells[4] for cells in table("A2_records", "runs")}
    assert shown == runs, "the records have changed: python book/execute.py --chapters A2"
