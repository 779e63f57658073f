"""Tables of installation and cold start."""

from __future__ import annotations

from benchmarks.pages.markdown import table
from benchmarks.pages.speed import load

__all__ = ["first_verdict", "installation", "largest_packages", "start_file"]


def first_verdict() -> str:
    """Return the seconds of whole processes."""
    seconds = load("start")["seconds"]
    rows = [
        [label, *(f"{seconds[key][which]:.3f}" for which in ("first", "min", "median"))]
        for label, key in (
            ("`python -c pass`", "python"),
            ('`python -c "import detectorkit"`', "import"),
            ("`python -m detectorkit predict IMAGE`", "predict"),
        )
        if key in seconds
    ]
    return table(["seconds", "first run", "least", "median"], rows)


def start_file() -> str:
    """Describe the image that is judged."""
    file = load("start")["file"]
    height, width = file["pixels"]
    return (
        f"a {file['format']} file of {height} x {width} pixels, quality {file['quality']}, "
        f"{file['bytes']} bytes"
    )


def installation() -> str:
    """Return what it takes until the first verdict."""
    result = load("start")
    model, install = result["model"], result["install"]
    rows = [
        [
            "importing, the interpreter's own start taken off",
            f"{result['import_without_python']:.3f} s",
        ],
        [f"the detector, `{model['name']}`", f"{model['bytes'] / 1e6:.1f} MB"],
        [f"`{install['command']}` downloads", f"{install['download_mb']:.0f} MB"],
        ["it takes, with all wheels at hand", f"{install['seconds']:.0f} s"],
        [f"{install['n_packages']} packages then are", f"{install['mb']:.0f} MB"],
        [
            "**from there to the first verdict, without the download**",
            f"**{result['seconds_from_pip_install_to_first_verdict']:.0f} s**",
        ],
    ]
    return table(["", ""], rows)


def largest_packages() -> str:
    """Return the sizes of the largest packages."""
    sizes = load("start")["install"]["mb_of_largest"]
    return table(["the largest packages", "MB"], [[n, f"{mb:.1f}"] for n, mb in sizes.items()])
