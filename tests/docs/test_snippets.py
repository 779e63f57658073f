"""README.md and the pages of the guide run as they are printed, block after block.

Each page runs by itself, in a folder of its own with the pictures of `conftest.py`: its blocks of
Python in one namespace, and the lines of its blocks of commands as ``detectorkit ...``. What stands
in a block of "text" is not run; it must be what the block before printed if `<!-- output -->` says
so. A block below `<!-- needs: EXTRA -->` runs only where the extra is installed, and one below
`<!-- not run: REASON -->` does not.
"""

import contextlib
import io
import re
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from detectorkit.cli import main

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/index.md", "docs/get_started.md"]
PAGES += sorted(str(page.relative_to(ROOT).as_posix()) for page in ROOT.glob("docs/guide/*.md"))
PACKAGES = {
    "dask": "distributed",
    "fast": "numba",
    "generate": "diffusers",
    "heif": "pillow_heif",
    "plot": "matplotlib",
    "provenance": "c2pa",
    "scan": "pyarrow",
    "serve": "uvicorn",
    "train": "torch",
}
BLOCK = re.compile(
    r"^(?: *<!-- (?P<mark>needs|not run|output)(?:: (?P<words>[^>]*?))? -->\n)?"
    r"(?P<margin> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=margin)```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    line: int
    language: str
    text: str
    mark: str
    words: str

    def lacks(self):
        """Return the extras that are needed and not installed."""
        extras = self.words.split(", ") if self.mark == "needs" else []
        return [extra for extra in extras if not find_spec(PACKAGES[extra])]


def read_blocks(text):
    blocks = []
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        mark, words = found["mark"] or "", found["words"] or ""
        blocks.append(Block(line, found["language"], found["text"], mark, words))
    return blocks


def read_page(page):
    return read_blocks((ROOT / page).read_text(encoding="utf-8"))


def commands(text):
    """Go over the commands of a block, as lists of words."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def run(page, block, names):
    """Run a block, and return what it printed."""
    place, printed, errors = f"{page}:{block.line + 1}", io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, page, "exec"), names)
            return printed.getvalue()
        for words in commands(block.text):
            program, *arguments = words
            if Path(program).name != "detectorkit":
                pytest.fail(f"{place}: only detectorkit can be run, not {program!r}")
            try:
                status = main(arguments)
            except SystemExit as ending:  # of argparse
                status = ending.code
            if status:
                pytest.fail(
                    f"{place}: {shlex.join(words)} ended with {status}: {errors.getvalue()}"
                )
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_printed(page, pictures, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    shutil.copytree(pictures, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(folder / "scikit-learn"))
    names = {"__name__": "snippet"}
    printed = ""
    for block in read_page(page):
        if block.language == "text":
            if block.mark == "output":
                assert block.text == printed, f"{page}:{block.line + 1}"
        elif block.language in ("python", "") and block.mark != "not run" and not block.lacks():
            printed = run(page, block, names)


NEEDS = sorted(
    {
        (page, extra)
        for page in PAGES
        for block in read_page(page)
        if block.mark == "needs"
        for extra in block.words.split(", ")
    }
)


@pytest.mark.parametrize(("page", "extra"), NEEDS)
def test_the_blocks_that_need_an_extra_ran(page, extra):
    lines = [b.line for b in read_page(page) if b.mark == "needs" and extra in b.words.split(", ")]
    if not find_spec(PACKAGES[extra]):
        pytest.skip(f"not run without the extra {extra!r}: {page}, lines {lines}")


def test_every_block_has_a_language_that_is_known():
    for page in PAGES:
        for block in read_page(page):
            is_directive = block.language.startswith("{")  # of Sphinx, such as a toctree
            assert is_directive or block.language in ("python", "", "text"), f"{page}:{block.line}"


def test_blocks_are_found_with_their_marks():
    text = "a\n<!-- needs: train, plot -->\n```python\nx\n```\n\n  ```\n  y \\\n  z # c\n  ```\n"
    first, second = read_blocks(text)
    assert first == Block(3, "python", "x\n", "needs", "train, plot")
    assert second[:3] == (7, "", "  y \\\n  z # c\n")
    assert list(commands(second.text)) == [["y", "z"]]


@pytest.mark.parametrize("text", ["detectorkit predict nothing.jpg", "curl http://localhost"])
def test_a_command_that_fails_is_a_failure(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pytest.fail.Exception):
        run("page", Block(1, "", text, "", ""), {})
