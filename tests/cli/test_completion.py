import os
import shutil
import subprocess
import sys

import pytest

from detectorkit.cli import COMMANDS, main
from detectorkit.models import shipped_detectors

pytest.importorskip("shtab")
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_detectorkit detectorkit "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
source $argv[1]
complete -C "$argv[2..]"
"""


@pytest.fixture(params=["bash", "fish"])
def complete(request, tmp_path, capsys, monkeypatch):
    """Complete a command line in a real shell, in a folder of two images and another folder."""
    shell = shutil.which(request.param)
    if shell is None or os.name == "nt":
        pytest.skip(f"{request.param} is not there")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["completion", request.param]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    folder = tmp_path / "here"
    (folder / "real photographs").mkdir(parents=True)
    for name in ("holiday.jpg", "own.onnx"):
        (folder / name).touch()

    def run(line):
        # What fish completes is one string, of which the last word may be empty.
        words = line.split(" ") if request.param == "bash" else [line]
        program = {"bash": BASH, "fish": FISH}[request.param]
        start = [shell, "-c", program, *(["bash"] if request.param == "bash" else [])]
        done = subprocess.run(
            [*start, str(script), *words], cwd=folder, capture_output=True, text=True, check=True
        )
        assert not done.stderr
        return {one.partition("\t")[0].rstrip("/") for one in done.stdout.splitlines()}

    return run


def test_commands_and_options_are_completed(complete):
    assert complete("detectorkit ") >= set(COMMANDS)
    assert complete("detectorkit tr") == {"train"}
    assert complete("detectorkit train --tr") == {"--treatment"}
    assert complete("detectorkit train --treatment ") == {"none", "aligned"}
    assert complete("detectorkit backbones ex") == {"export"}


def test_models_and_files_are_completed(complete):
    files = {"holiday.jpg", "own.onnx", "real photographs"}
    assert complete("detectorkit predict -m ") == {*shipped_detectors(), *files}
    assert complete("detectorkit evaluate fo") == {"forensic"}
    assert complete("detectorkit evaluate ow") == {"own.onnx"}
    assert complete("detectorkit evaluate forensic re") == {"real photographs"}
    assert complete("detectorkit models tr") == {"transfer"}
    assert complete("detectorkit predict -m cnn hol") == {"holiday.jpg"}


def test_zsh_takes_the_script(tmp_path, capsys):
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not there")
    assert main(["completion", "zsh"]) == 0
    (tmp_path / "_detectorkit").write_text(capsys.readouterr().out)
    subprocess.run([zsh, "-n", tmp_path / "_detectorkit"], check=True)


def test_without_shtab_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install shtab" in capsys.readouterr().err
