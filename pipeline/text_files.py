"""Texts that users write: decoded without guessing, and compared as a person would.

A text is in UTF-8, with or without a byte-order mark, or in another form of Unicode with one. Any
other encoding would have to be guessed, so it is refused.
"""

import codecs
import difflib
import io
import unicodedata
from collections.abc import Collection, Iterator

from pipeline.places import Place, read

__all__ = ["TextError", "folded", "near", "nfc", "read_lines", "read_text"]

MARKS = {  # the longer first, for UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MARK = "\ufeff"
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods, .xls
SAVE = (
    "save it as UTF-8 (Excel: Save As, “CSV UTF-8”; LibreOffice: “Edit filter settings”, character "
    "set UTF-8)"
)


class TextError(ValueError):
    """A file of a user cannot be used; the message says where it is wrong and what to do."""


def read_text(path: Place) -> str:
    """The text of a file in UTF-8, or with a byte-order mark in another form of Unicode.

    Raises:
        FileNotFoundError: there is no such file.
        TextError: it is no such text; the message says the line and the byte.
    """
    content = read(path)
    if content.startswith(WORKBOOKS):
        raise TextError(f"{path} is a workbook and no text: {SAVE}")
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content:
        line = 1 + content.partition(b"\0")[0].count(b"\n")
        raise TextError(
            f"{path}, line {line}: a NUL byte, so this is no text, or UTF-16 without its mark: "
            f"{SAVE}"
        )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = 1 + max(before.count(b"\n"), before.count(b"\r"))
        shown = before.replace(b"\r", b"\n").rpartition(b"\n")[2].decode("ascii", "replace")
        raise TextError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} after {shown[-40:]!r} is not "
            f"{encoding.upper()}: {SAVE}"
        ) from error
    return text.lstrip(MARK)  # UTF-8's is left, and a file that was joined has several


def read_lines(path: Place) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a text file that is not blank, as `read_rows` has cells.

    Raises:
        FileNotFoundError: there is no such file.
        TextError: the file is no text in a known encoding.
    """
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), start=1):
        if line.strip():
            yield number, nfc(line.strip())


def nfc(text: str) -> str:
    """A text in Unicode's composed form: é is one character, not e and an accent."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """A text without white space around it and without case."""
    return nfc(text).strip().casefold()


def near(word: str, known: Collection[str]) -> str:
    """The known word that is most like another one; blank where none is."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.7)), "")
