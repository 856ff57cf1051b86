"""Draw the rooms of `ssps_lib` and what they import, as book/_static/library.svg.

    python book/api/diagram.py            # write the drawing
    python book/api/diagram.py --check    # exit status 1 if the stored one is out of date

A room is a module or a package directly in `ssps_lib`. An arrow goes from a room to one that it
imports when it is imported itself; arrows that follow from others are left out. Every room lies
above all that it imports, so that a circle of imports cannot be drawn, and is an error.
"""

import ast
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1]
LIBRARY = BOOK.parent / "ssps_lib"
TARGET = BOOK / "_static" / "library.svg"
WIDTH, BOX, GAP = 132, 34, 78  # pixels: width of a place, height of a box, height of a floor
INK, LINE, FILL, EDGE = "#1f2933", "#7b8794", "#e3f0fb", "#2b7bd9"

Rooms = dict[str, set[str]]


def imports(library: Path = LIBRARY) -> Rooms:
    """Room -> the other rooms that its modules import at their top level."""
    rooms: Rooms = {}
    for file in sorted(library.rglob("*.py")):
        room = file.relative_to(library).parts[0].removesuffix(".py")
        if room != "__init__":
            rooms.setdefault(room, set()).update(_imported(file))
    return {room: {r for r in used if r in rooms and r != room} for room, used in rooms.items()}


def _imported(file: Path) -> set[str]:
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "ssps_lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ssps_lib."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "ssps_lib" and len(name) > 1}
    return found


def floors(rooms: Rooms) -> dict[str, int]:
    """The floor of each room: 0 for those that import no other, else one above the highest.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    floor: dict[str, int] = {}
    while len(floor) < len(rooms):
        ready = [r for r in rooms if r not in floor and rooms[r] <= floor.keys()]
        if not ready:
            left = ", ".join(sorted(rooms.keys() - floor.keys()))
            raise ValueError(f"these rooms, or some of them, import each other in a circle: {left}")
        floor |= {r: 1 + max((floor[used] for used in rooms[r]), default=-1) for r in ready}
    return floor


def raised(rooms: Rooms) -> dict[str, int]:
    """Floors where each room lies just below the lowest that imports it: arrows are shorter."""
    floor = floors(rooms)
    for room in sorted(rooms, key=lambda r: -floor[r]):  # those that import it come first
        users = [floor[other] for other in rooms if room in rooms[other]]
        floor[room] = min(users) - 1 if users else floor[room]
    return floor


def direct(rooms: Rooms) -> list[tuple[str, str]]:
    """The arrows that do not follow from others."""

    def reached(room: str) -> set[str]:
        return rooms[room].union(*(reached(used) for used in rooms[room]))

    arrows = []
    for room, used in rooms.items():
        farther = set().union(*(reached(one) for one in used))
        arrows += [(room, one) for one in sorted(used - farther)]
    return arrows


def places(rooms: Rooms) -> dict[str, tuple[float, int]]:
    """Centre (x, in places) and floor of each room, near the rooms that it uses or that use it."""
    floor, arrows = raised(rooms), direct(rooms)
    rows = [sorted(r for r in rooms if floor[r] == f) for f in range(max(floor.values()) + 1)]
    widest = max(map(len, rows))
    x: dict[str, float] = {}

    def settle(row: list[str]) -> None:
        space = widest / len(row)
        x.update({room: space * (i + 0.5) for i, room in enumerate(row)})

    for row in rows:
        settle(row)
    neighbours = {r: [b if a == r else a for a, b in arrows if r in (a, b)] for r in rooms}
    for _ in range(24):  # order each floor by the mean place of its neighbours, until it settles
        for row in rows:
            mean = {r: sum(x[n] for n in neighbours[r]) / max(1, len(neighbours[r])) for r in row}
            row.sort(key=lambda r: (round(mean[r] if neighbours[r] else x[r], 6), r))
            settle(row)
    return {room: (x[room], floor[room]) for room in rooms}


def draw(rooms: Rooms) -> str:
    """The drawing as SVG text."""
    place = places(rooms)
    highest = max(f for _, f in place.values())
    width = WIDTH * max(x + 0.5 for x, _ in place.values()) + WIDTH / 2
    height = GAP * (highest + 1) + 20

    def centre(room: str) -> tuple[float, float]:
        x, f = place[room]
        return WIDTH * x + WIDTH / 4, 10 + GAP * (highest - f) + GAP / 2

    names = ", ".join(f"{a} imports {b}" for a, b in direct(rooms))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="14" role="img" '
        'aria-labelledby="title desc">',
        '<title id="title">The rooms of ssps_lib and what they import</title>',
        f'<desc id="desc">{names}.</desc>',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="{LINE}"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#ffffff"/>',
        f'<g stroke="{LINE}" stroke-width="1.3" fill="none" marker-end="url(#tip)">',
    ]
    for a, b in direct(rooms):
        (xa, ya), (xb, yb) = centre(a), centre(b)
        top, bottom = ya + BOX / 2, yb - BOX / 2
        bend = (bottom - top) / 2
        parts.append(
            f'<path d="M{xa:.0f} {top:.0f}C{xa:.0f} {top + bend:.0f} {xb:.0f} {bottom - bend:.0f} '
            f'{xb:.0f} {bottom - 2:.0f}"/>'
        )
    parts.append(f'</g><g fill="{FILL}" stroke="{EDGE}" stroke-width="1.6">')
    for room in sorted(rooms):
        x, y = centre(room)
        parts.append(
            f'<rect x="{x - WIDTH / 2 + 5:.0f}" y="{y - BOX / 2:.0f}" width="{WIDTH - 10}" '
            f'height="{BOX}" rx="7"/>'
        )
    parts.append(f'</g><g fill="{INK}" text-anchor="middle">')
    for room in sorted(rooms):
        x, y = centre(room)
        parts.append(f'<text x="{x:.0f}" y="{y + 5:.0f}">{room}</text>')
    return "\n".join([*parts, "</g>", "</svg>", ""])


def main(arguments: list[str]) -> int:
    """Write the drawing, or compare it with the stored one; returns the exit status."""
    text = draw(imports())
    if arguments == ["--check"]:
        current = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        if not current:
            print(f"error: {TARGET.name} is out of date: python {__file__}", file=sys.stderr)
        return int(not current)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
