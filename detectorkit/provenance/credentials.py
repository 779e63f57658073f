"""Content credentials (C2PA): signatures checked by the package c2pa, without any network."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, Final

from detectorkit.provenance.findings import Evidence, Finding, Says, clean
from detectorkit.provenance.pieces import Manifest
from detectorkit.provenance.rules import read_source_type
from detectorkit.utils.extras import require_extra

__all__ = ["check_credentials"]

_MAX_MANIFESTS: Final = 20
_STATES: Final[dict[str, Evidence]] = {"Trusted": "trusted", "Valid": "signed"}
# The strongest statement comes first: a generated picture that a person edited is generated.
_RANKS: Final[tuple[Says, ...]] = ("generated", "edited", "camera", "unknown")


def check_credentials(data: bytes, manifest: Manifest, trust_anchors: str | None) -> Finding:
    """Check the content credentials of a file, or say that there are some, without the extra."""
    try:
        require_extra("provenance", "c2pa", caller="Checking content credentials")
    except ImportError as error:
        return _finding("unknown", "", manifest, str(error), "unchecked")
    import c2pa

    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "core": {"allowed_network_hosts": [], "max_decompressed_manifest_size_in_mb": 16},
    }
    if trust_anchors is not None:
        settings["trust"] = {"trust_anchors": trust_anchors}
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(io.BytesIO(data), context=context) as reader,
        ):
            state, store = reader.get_validation_state(), json.loads(reader.json())
        return _judge(store, _STATES.get(state, "broken"), manifest)
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        reason = str(error)
    except (AttributeError, IndexError, TypeError):  # signed content may have any form
        reason = "their content has a strange form"
    return _finding("unknown", "", manifest, f"they cannot be read: {reason}", "broken")


def _judge(store: dict[str, Any], evidence: Evidence, manifest: Manifest) -> Finding:
    """Return what the manifest says and who signed it; of a broken one, what does not match."""
    active = _Statement(store)
    if evidence == "broken":
        reasons = [
            str(status.get("code"))
            for status in store.get("validation_status", [])
            if status.get("code") != "signingCredential.untrusted"
        ]
        return _finding("unknown", active.tool, manifest, ", ".join(reasons[:5]), evidence)
    says, words = active.source()
    signed = "signed by" if evidence == "trusted" else "signed in the name of"
    signer = f"{signed} {active.signer}" if active.signer else ""
    detail = "; ".join(part for part in (words, signer) if part)
    return _finding(says, active.tool, manifest, detail, evidence)


class _Statement:
    """What the active manifest of a store says, and the manifests that it grew from."""

    def __init__(self, store: dict[str, Any]) -> None:
        self._manifests: dict[str, Any] = store.get("manifests", {})
        self._active: dict[str, Any] = self._manifests.get(store.get("active_manifest", ""), {})
        info = self._active.get("claim_generator_info") or [{}]
        self.tool = str(info[0].get("name") or self._active.get("claim_generator") or "")
        signature = self._active.get("signature_info") or {}
        self.signer = str(signature.get("common_name") or signature.get("issuer") or "")

    def source(self) -> tuple[Says, str]:
        """Return the strongest source type of the picture, from its nearest ancestor with one."""
        for number, manifest in enumerate(self._ancestors()):
            found = [read_source_type(text) for text in _source_types(manifest)]
            if found:
                says, words = min(found, key=lambda one: _RANKS.index(one[0]))
                return says, words if number == 0 else f"{words}, before the last change"
        return "unknown", "no source type"

    def _ancestors(self) -> Iterator[dict[str, Any]]:
        """Iterate over the active manifest and those of the files that it grew from."""
        manifest, seen = self._active, set[str]()
        while len(seen) < _MAX_MANIFESTS:
            yield manifest
            parents = (
                str(one.get("active_manifest"))
                for one in manifest.get("ingredients", [])
                if one.get("relationship") == "parentOf"
            )
            label = next(parents, "")
            if label in seen or label not in self._manifests:
                return
            seen.add(label)
            manifest = self._manifests[label]


def _source_types(manifest: dict[str, Any]) -> Iterator[str]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label")).startswith("c2pa.actions"):
            for action in assertion.get("data", {}).get("actions", []):
                if isinstance(action.get("digitalSourceType"), str):
                    yield action["digitalSourceType"]


def _finding(says: Says, tool: str, manifest: Manifest, detail: str, evidence: Evidence) -> Finding:
    kind = "content credentials"
    return Finding(kind, says, clean(tool, 80), manifest.place, clean(detail), evidence)
