"""A Sphinx extension: docstrings are prose with code in single backticks, not reStructuredText.

Stars and bars outside of code are what they are (`(B, *shape)`, `|Q'|`), a plural may follow code
(`RunConfig`s), and `Attributes (after ...):` is a section.
"""

import re

CODE = re.compile(r"(`[^`]+`)")
EXAMPLE = re.compile(r"\s*(>>>|\.\.\. )")
SECTION = re.compile(r"^(Attributes) \(.*\):$")


def plain(lines: list[str]) -> list[str]:
    """The lines of a docstring with the marks escaped that RST would take for markup.

    Examples and what they print, up to the next blank line, stay as they are.
    """
    out, example = [], False
    for line in lines:
        example = bool(EXAMPLE.match(line)) or (example and bool(line.strip()))
        out.append(line if example else _escaped(SECTION.sub(r"\1:", line)))
    return out


def _escaped(line: str) -> str:
    parts = CODE.split(line)  # prose, code, prose, code, ...
    parts[::2] = [re.sub(r"([*|])", r"\\\1", prose) for prose in parts[::2]]
    for i in range(2, len(parts), 2):
        if re.match(r"\w", parts[i]):
            parts[i] = "\\ " + parts[i]
    return "".join(parts)


def setup(app) -> dict[str, bool]:
    """Connect to autodoc, before napoleon reads the sections."""

    def process(app, what, name, obj, options, lines) -> None:
        lines[:] = plain(lines)

    app.connect("autodoc-process-docstring", process, priority=400)
    for beside in ("cross_references", "launch_buttons", "redirects"):  # modules of this folder
        app.setup_extension(beside)
    return {"parallel_read_safe": True}
