"""What was found in a file, as data, as lines of text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

__all__ = ["MAX_FINDINGS", "Evidence", "Finding", "Provenance", "Says", "clean", "merge"]

Says = Literal["generated", "camera", "edited", "unknown"]
Evidence = Literal["claim", "signed", "trusted", "broken", "unchecked"]

MAX_FINDINGS: Final = 40

_MAX_DETAIL: Final = 240
_WORDS: Final[dict[Evidence, str]] = {
    "claim": "unproven",
    "signed": "signature intact, signer not verified",
    "trusted": "signature intact, signer trusted",
    "broken": "broken",
    "unchecked": "not checked",
}


@dataclass(frozen=True)
class Finding:
    """One statement that a file makes about itself.

    Attributes
    ----------
    kind : str
        Kind of statement: "content credentials", "source type", "generator settings", "AI label",
        "software", "camera" or "damaged metadata".
    says : {"generated", "camera", "edited", "unknown"}
        Origin of the picture according to the statement.
    tool : str
        Program, service or camera that is named; empty if none is.
    place : str
        Part of the file where the statement stands, such as "EXIF Software".
    detail : str
        More of the statement, such as the model and the sampler, or the signer.
    evidence : {"claim", "signed", "trusted", "broken", "unchecked"}
        How far the statement is proven. "claim" is text that anyone can write. A "signed"
        statement has not been changed since it was signed, but anyone can make a certificate in
        any name; "trusted" means that the certificate also leads to one of the `trust_anchors`.
        "broken" credentials do not match the file, and "unchecked" ones were not checked.

    Notes
    -----
    `tool`, `place` and `detail` hold text of the file, which may be hostile. It is bounded in
    length, on one line, and characters that are invisible, control a terminal or change the
    direction of writing are escaped. It is not escaped for HTML.
    """

    kind: str
    says: Says
    tool: str = ""
    place: str = ""
    detail: str = ""
    evidence: Evidence = "claim"

    @property
    def proven(self) -> bool:
        """Whether the signature is intact and the signer is trusted."""
        return self.evidence == "trusted"

    def line(self) -> str:
        """Return the finding as one line of text.

        Returns
        -------
        line : str
            The finding; text of the file is escaped for terminals, but not for HTML.
        """
        by = f", {self.tool}" if self.tool else ""
        detail = f": {self.detail}" if self.detail else ""
        if self.kind == "damaged metadata":
            return f"{self.kind} ({self.place}){detail}"
        # What is proven comes before any text of the file, which could pretend to say it.
        return f"{self.kind}, {_WORDS[self.evidence]} ({self.place}): {self.says}{by}{detail}"


@dataclass(frozen=True)
class Provenance:
    """What an image file says of itself.

    Attributes
    ----------
    findings : tuple of Finding
        The statements that were found, content credentials first. Without any, nothing is known:
        most files lose their metadata on their way, whether they were generated or not.
    """

    findings: tuple[Finding, ...] = ()

    def lines(self) -> list[str]:
        """Return one line of text for each finding.

        Returns
        -------
        lines : list of str
            The findings; text of the file is escaped for terminals, but not for HTML.
        """
        return [finding.line() for finding in self.findings]

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as data for JSON.

        Returns
        -------
        fields : dict
            A list "findings", in which each finding is a dict of its attributes and "proven".
        """
        return {
            "findings": [asdict(finding) | {"proven": finding.proven} for finding in self.findings]
        }


def clean(text: str, limit: int = _MAX_DETAIL) -> str:
    r"""Make text of a file safe to print: one line, bounded, nothing invisible.

    Examples
    --------
    >>> from detectorkit.provenance.findings import clean
    >>> print(clean("a  fox" + chr(27) + "[31m" + chr(0x202E)))
    a fox\x1b[31m\u202e
    """
    words = " ".join(text[: 4 * limit].split())
    escaped = (
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in words[:limit]
    )
    line = "".join(escaped)
    return line if len(line) <= limit and len(words) <= limit else line[: limit - 3] + "..."


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Keep one of those that say the same, with a detail if any has one, and not too many."""
    kept: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        key = (finding.kind, finding.says, finding.tool, finding.evidence)
        if key not in kept or (finding.detail and not kept[key].detail):
            kept[key] = finding
    order = {"content credentials": 0, "damaged metadata": 2}
    found = sorted(kept.values(), key=lambda finding: order.get(finding.kind, 1))
    return tuple(found[:MAX_FINDINGS])
