"""Lists that people write: text that is decoded strictly, and names that are told apart."""

import csv
import io
import posixpath
import unicodedata
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("file", "speaker", "recording")
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_text(path: Path) -> str:
    """The text of a list in UTF-8, or in UTF-16 with its mark; all line ends become "\\n".

    Raises:
        ValueError: another encoding, with the line; no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"'{path}' is not an existing file: check the path")
    content = path.read_bytes()
    encoding = MARKS.get(content[:2], "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path.name}, line {line}: is no {encoding[:6].upper().rstrip('-')} text (byte "
            f"0x{content[error.start]:02x}): save the list as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(
            f"{path.name}, line {line}: holds a zero byte, as binary files and UTF-16 without its "
            "mark do: save the list as UTF-8"
        )
    return io.StringIO(text, newline=None).read()


def label(name: str | None) -> str:
    """A name of a speaker or recording, without blanks around it and composed (NFC).

    >>> label(" Rene\\u0301e ") == label("Ren\\u00e9e")
    True
    """
    return unicodedata.normalize("NFC", (name or "").strip())


def file_name(name: str | None) -> str:
    """A file as a list names it, in the one form by which it is looked up; "" if there is none.

    >>> file_name(" ./a//b/../1.wav"), file_name("a\\\\r\\\\1.wav"), file_name("")
    ('a/1.wav', 'a/r/1.wav', '')
    """
    name = (name or "").strip()
    if "/" not in name:
        name = name.replace("\\", "/")
    return posixpath.normpath(name) if name else ""


def read_rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line, file, speaker and recording of each row of a list with the columns `COLUMNS`.

    Raises:
        ValueError: another encoding, a column that is missing, a row of too many fields.
    """
    rows = csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True)
    try:
        found = rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        missing = [column for column in COLUMNS if column not in found]
        if missing:
            seen = ", ".join(map(repr, found)) or "none"
            raise ValueError(
                f"{path.name}, line 1: no column '{missing[0]}' among {seen}; columns "
                f"{','.join(COLUMNS)} are needed, separated by commas"
            )
        for row in rows:
            if None in row:
                raise ValueError(
                    f"{path.name}, line {rows.line_num}: more fields than the {len(found)} "
                    "columns: put names with a comma into quotes"
                )
            speaker, recording = label(row["speaker"]), label(row["recording"])
            yield rows.line_num, file_name(row["file"]), speaker, recording
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {rows.line_num}: is no list ({error})") from None
