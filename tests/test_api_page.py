"""The page of the API is complete: what a package offers is on it, or is known to be internal."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import detectorkit

API = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
LISTED = set(re.findall(r"(?m)^   (?:\w+\.)*(\w+)$", API))
PACKAGES = ["detectorkit"] + [
    one.name for one in pkgutil.walk_packages(detectorkit.__path__, "detectorkit.") if one.ispkg
]

# Names that only other packages of this library need.
INTERNAL = {
    "detectorkit": {"__version__"},
    "detectorkit.backbones": {
        "REGISTRY", "BackboneEntry", "backbone_folder", "read_backbone", "write_backbone",
    },
    "detectorkit.calibration": {"Decision"},
    "detectorkit.cli": {"main", "make_parser"},
    "detectorkit.datasets": {"TREATMENTS"},
    "detectorkit.datasets.audit": {"MAX_AUC"},
    "detectorkit.models": {
        "DEFAULT", "SHIPPED_BACKBONES", "SHIPPED_GENERATORS", "card_path", "default_detector",
        "find_detector", "read_speeds",
    },
    "detectorkit.report": {"check_report_path"},
}  # fmt: skip


@pytest.mark.parametrize("name", [one for one in PACKAGES if "adjoint_rules" not in one])
def test_every_public_name_is_on_the_page(name):
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {"python_multipart", "starlette"}:
            raise
        pytest.skip(f"{error.name} is not installed")
    names = set(getattr(package, "__all__", ()))
    assert names - LISTED == INTERNAL.get(name, set())
