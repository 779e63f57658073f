"""What the fields of a file say about where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from detectorkit.provenance.findings import Finding, Says, clean
from detectorkit.provenance.pieces import Field
from detectorkit.provenance.settings import load_json, read_settings
from detectorkit.provenance.tools import (
    CAMERA_MAKERS,
    EDITORS,
    GENERATORS,
    SETTINGS_KEYWORDS,
    SOFTWARE_FIELDS,
    SOURCE_TYPES,
)

__all__ = ["Cameras", "judge_field", "read_source_type"]

_DESCRIPTIONS: Final = {"Description", "ImageDescription", "description", "UserComment", "Comment"}
_MIDJOURNEY: Final = re.compile(r"\bJob ID: [0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)
_GROK: Final = re.compile(r"Signature: [A-Za-z0-9+/]{60,}={0,2}\s*$")
_NAMED: Final = 500  # characters of a field in which the name of a program is searched for
_AIGC: Final[dict[str, tuple[Says, str]]] = {
    "1": ("generated", ""),
    "2": ("unknown", "possibly generated"),
    "3": ("unknown", "suspected to be generated"),
}


def judge_field(field: Field) -> Iterator[Finding]:
    """Find what one field says about the origin of the picture, by every rule."""
    place = clean(f"{field.place} {field.name}", 60)
    if field.name == "DigitalSourceType":
        says, detail = read_source_type(field.text)
        yield Finding("source type", says, "", place, detail)
    elif field.name == "provenance" and "://" in field.text[:20]:
        where = clean(f"kept at {field.text}, which is not fetched")
        yield Finding("content credentials", "unknown", "", place, where, "unchecked")
    elif field.name in SETTINGS_KEYWORDS:
        found = read_settings(field.text)
        tool = SETTINGS_KEYWORDS[field.name]
        yield Finding("generator settings", "generated", tool, place, found.detail if found else "")
    else:
        yield from _judge_label(field, place)
        yield from _judge_text(field, place)


def read_source_type(text: str) -> tuple[Says, str]:
    """Read a digital source type of the IPTC: what it says of the picture, in words."""
    name = text.strip().rpartition("/")[2]
    return SOURCE_TYPES.get(name, ("unknown", clean(name)))


def _judge_label(field: Field, place: str) -> Iterator[Finding]:
    """Read the label that Chinese law asks of generators (GB 45438-2025)."""
    if field.name != "AIGC" and '"AIGC"' not in field.text[:200]:
        return
    data = load_json(field.text)
    data = data.get("AIGC", data) if isinstance(data, dict) else None
    if isinstance(data, dict):
        says, detail = _AIGC.get(str(data.get("Label"))[:2], ("unknown", "label not known"))
        producer = data.get("ContentProducer")
        tool = clean(producer, 80) if isinstance(producer, str) else ""
        yield Finding("AI label", says, tool, place, detail)


def _judge_text(field: Field, place: str) -> Iterator[Finding]:
    settings = read_settings(field.text)
    if settings:
        yield Finding("generator settings", "generated", settings.tool, place, settings.detail)
    elif field.name in _DESCRIPTIONS and _MIDJOURNEY.search(field.text):
        yield Finding("generator settings", "generated", "Midjourney", place, clean(field.text))
    elif field.name in _DESCRIPTIONS and _GROK.match(field.text[:2000]):
        yield Finding("software", "generated", "Grok", place, "the form of its signatures")
    elif field.name in SOFTWARE_FIELDS:
        yield from _judge_software(field, place)


def _judge_software(field: Field, place: str) -> Iterator[Finding]:
    text = field.text[:_NAMED]
    kinds: tuple[tuple[Says, dict[str, str]], ...] = (
        ("generated", GENERATORS),
        ("edited", EDITORS),
    )
    for says, names in kinds:
        tool = _find(names, text)
        if tool:
            detail = clean(text)
            yield Finding("software", says, tool, place, detail if detail != tool else "")
            return
    if field.name == "AISystemUsed":
        yield Finding("software", "generated", clean(text, 80), place)
    elif field.name in {"Software", "CreatorTool"} and text.strip():
        yield Finding("software", "unknown", clean(text, 80), place)


def _find(names: dict[str, str], text: str) -> str | None:
    """Return the first name whose expression is found in a text."""
    found = (name for name, one in names.items() if re.search(one, text, re.IGNORECASE))
    return next(found, None)


class Cameras:
    """The maker and the model of a camera, which stand in two fields."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}

    def note(self, field: Field) -> None:
        """Remember a field if it is one of a camera's."""
        if field.name in {"Make", "Model", "DateTimeOriginal"} and not read_settings(field.text):
            self._seen.setdefault(field.place, {}).setdefault(field.name, field.text[:_NAMED])

    def findings(self) -> Iterator[Finding]:
        """Return a finding for each place that names a camera, unless it names a generator."""
        for place, texts in self._seen.items():
            make, model = texts.get("Make", "").strip(), texts.get("Model", "").strip()
            both = f"{make} {model}"
            if not both.strip() or _find(GENERATORS, both):
                continue
            says: Says = "camera" if re.search(CAMERA_MAKERS, both, re.IGNORECASE) else "unknown"
            tool = model if model.lower().startswith(make.lower()) else both
            taken = texts.get("DateTimeOriginal", "")
            detail = f"taken {clean(taken, 40)}" if taken else ""
            yield Finding("camera", says, clean(tool, 80), f"{place} Make, Model", detail)
