"""The README's figure of results, taken from chapter 5; run it when that chapter has changed.

python book/results.py
"""

from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent
CHAPTER, FIGURE = "05_ssps", "fig-ssps-comparison"
TARGET = BOOK / "_static" / "results.svg"


def figure() -> str:
    """The drawing (SVG) as it is stored."""
    for cell in nbformat.read(BOOK / f"{CHAPTER}.ipynb", as_version=4).cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == FIGURE:
            drawn = (o.data["image/svg+xml"] for o in cell.outputs if "image/svg+xml" in o.data)
            return next(drawn)
    raise LookupError(f"{CHAPTER} has no cell of {FIGURE}")


if __name__ == "__main__":
    TARGET.write_text(figure(), encoding="utf-8")
