import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from numpydoc.validate import validate

import detectorkit

ROOT = Path(__file__).parents[1]
BARE = (".graph", ".heads", ".utils")  # packages whose modules are named in full
SOURCES = sorted((ROOT / "detectorkit").rglob("*.py"))

# Codes of numpydoc that are not followed, each with its reason.
IGNORED = {
    "ES01",  # an extended summary is given where there is more to say
    "EX01",  # examples are given for classes and for functions of data
    "SA01",  # "See Also" is given where there is something
    "SA04",  # the same
    "RT02",  # returned values are named, as in scikit-learn
    "YD01",  # generators say "Yields" only
    "GL08",  # checked by ruff (D1), which knows overrides and private names
}


def modules():
    for module in pkgutil.walk_packages(detectorkit.__path__, "detectorkit."):
        if module.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in {"numba", "python_multipart", "starlette", "torch"}:  # extras
                raise


def public_objects():
    for module in modules():
        for name in getattr(module, "__all__", ()):
            thing = vars(module).get(name)  # not what is imported when it is first used
            if inspect.isfunction(thing) or inspect.isclass(thing):
                if thing.__module__ != module.__name__:
                    continue
                yield f"{module.__name__}:{name}"
                if inspect.isclass(thing):
                    for method, value in vars(thing).items():
                        if not method.startswith("_") and inspect.isfunction(value):
                            yield f"{module.__name__}:{name}.{method}"


# What the page of the API lists has a full docstring; of the rest, one good line is asked.
LISTED = set(re.findall(r"(?m)^\s+(?:\w+\.)*(\w+)\s*$", (ROOT / "docs" / "api.md").read_text()))
SECTIONS = {"PR01", "RT01"}


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_docstrings_follow_numpydoc(name):
    ignored = IGNORED | ({"PR01"} if is_record(name) else set())
    if name.partition(":")[2].split(".")[0] not in LISTED:
        ignored |= SECTIONS
    found = validate(name.replace(":", "."))["errors"]
    errors = [error for error in found if error[0] not in ignored]
    assert not errors


def is_record(name):
    """Whether it is a dataclass or a named tuple, whose fields are described as attributes."""
    module, _, attribute = name.partition(":")
    thing = getattr(sys.modules[module], attribute, None)
    return is_dataclass(thing) or (inspect.isclass(thing) and issubclass(thing, tuple))


def test_import_is_fast_and_light():
    code = (
        "import sys, detectorkit;"
        "print([m for m in ('numpy', 'sklearn', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    for name in detectorkit.__all__:
        assert getattr(detectorkit, name) is not None
    packages = {one.name for one in pkgutil.iter_modules(detectorkit.__path__) if one.ispkg}
    packages -= {"cli", "heads"}  # of which nothing is for users
    assert set(dir(detectorkit)) == {*detectorkit.__all__, *packages}
    for name in packages:
        assert getattr(detectorkit, name).__name__ == f"detectorkit.{name}"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        detectorkit.nonsense  # noqa: B018


def test_every_module_says_what_is_public():
    for module in modules():
        if ".adjoint_rules." in module.__name__:
            continue  # they are imported for the rules that they register
        if not module.__name__.endswith(("_version", *BARE)):
            assert module.__all__, module.__name__


def test_nothing_is_unpickled_by_the_library():
    for path in SOURCES:
        if path.name != "estimator_checks.py":
            assert not re.search(
                r"import pickle|pickle\.load|joblib\.load|(?<!\.)\beval\("
                r"|torch\.load\((?!.*weights_only=True)",
                path.read_text(),
            ), path


def test_opencv_decodes_and_encodes_in_one_place_only():
    for path in SOURCES:
        if path.name not in {"decoding.py", "encoding.py", "estimator_checks.py"}:
            assert not re.search(r"im(read|write|decode|encode)|BGR", path.read_text()), path


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert version("detectorkit") == detectorkit.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == "detectorkit"
