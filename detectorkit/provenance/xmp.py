"""Properties in XMP packets that name the origin of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from detectorkit.provenance.pieces import MAX_TEXT, Damage, Effort, Field, Piece

__all__ = ["xmp_pieces"]

_NAMES: Final = {
    "AIGC",
    "AISystemUsed",
    "CreatorTool",
    "Credit",
    "DigitalSourceType",
    "ImageDescription",
    "Make",
    "Model",
    "Software",
    "UserComment",
    "creator",
    "description",
    "parameters",
    "provenance",
    "softwareAgent",
}
_BY_LOWER_NAME: Final = {name.lower(): name for name in _NAMES}


def xmp_pieces(data: bytes) -> Iterator[Piece]:
    """Read the properties of interest, whether they are attributes or elements.

    They are known by their names alone, whatever their namespace: anyone could write either.
    """
    yield Effort(min(len(data), MAX_TEXT))
    reader = _Reader()
    try:
        reader.parse(data)
    except (expat.ExpatError, ValueError, LookupError):  # also an encoding that is not known
        yield Damage("XMP", "it is cut off or malformed")
    yield from reader.fields


class _Reader:
    """Collector of properties, with a stack of the elements that are open."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self._open: list[tuple[str | None, list[str]]] = []

    def parse(self, data: bytes) -> None:
        """Parse a packet, without any entities: they could grow without bound."""
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        packet = data.strip(b"\0 \t\r\n")
        parser.Parse(packet[:MAX_TEXT], len(packet) <= MAX_TEXT)

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        for name, text in attributes.items():
            self._add(_known(name), text)
        self._open.append((_known(element), []))

    def _text(self, text: str) -> None:
        for name, texts in reversed(self._open[-4:]):  # a list in a property is two elements deeper
            if name is not None:
                texts.append(text)
                return

    def _end(self, _: str) -> None:
        name, texts = self._open.pop()
        self._add(name, "".join(texts))

    def _add(self, name: str | None, text: str) -> None:
        if name is not None and text.strip() and len(self.fields) < 200:
            self.fields.append(Field("XMP", name, text.strip()))


def _known(name: str) -> str | None:
    return _BY_LOWER_NAME.get(name.rpartition("}")[2].lower())


def _refuse(*_: object) -> None:
    raise ValueError("a document type is not part of XMP")
