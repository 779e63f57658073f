"""How to install what is missing."""

from importlib import metadata

import pytest

from detectorkit.utils import extras


@pytest.mark.parametrize(
    ("requirements", "command"),
    [
        (["numpy>=2", 'a-b[c]>=1; extra == "x"', "d ; extra == 'x'", 'e; extra == "xy"'], "a-b d"),
        (["numpy>=2"], "given"),
        (None, "given"),
        (metadata.PackageNotFoundError(), "given"),
    ],
)
def test_the_packages_of_an_extra_are_named(requirements, command, monkeypatch):
    def requires(_):
        if isinstance(requirements, Exception):
            raise requirements
        return requirements

    monkeypatch.setattr(extras, "requires", requires)
    assert extras.how_to_install("x", "given") == f"pip install {command}"
