"""How commands end: after Ctrl-C, on a full disk, and without standard streams."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detectorkit.cli import COMMANDS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and shells of POSIX")
DETECTORKIT = [sys.executable, "-m", "detectorkit"]


@pytest.fixture(scope="module")
def place(fitted, folder, tmp_path_factory):
    """A folder in which each command can be run as in `COMMAND`."""
    place = tmp_path_factory.mktemp("place")
    fitted.save(place / "m.onnx")
    (place / "data").symlink_to(folder)
    (place / "one.png").symlink_to(next(folder.rglob("*.png")))
    return place


COMMAND = {
    "demo": "demo -o demo",
    "audit": "audit data",
    "prepare": "prepare new --real a=data/real --generated b=data/generated",
    "align": "align data -o copy",
    "train": "train data -o new.onnx",
    "calibrate": "calibrate m.onnx data -o new.onnx --method sigmoid",
    "evaluate": "evaluate m.onnx data",
    "report": "report m.onnx data -o report.html",
    "predict": "predict m.onnx data",
    "scan": "scan data -m m.onnx -o new.csv --again",
    "serve": "serve -m m.onnx --port 0",
    "explain": "explain m.onnx one.png -o new.png --numbers new.npy",
    "models": "models",
    "backbones": "backbones list",
    "completion": "completion bash",
    "generate": "generate --help",  # as the extra need not be there
}
WRITES = ("demo", "align", "train", "calibrate", "report", "explain")


def files(place):
    return {path.name for path in place.iterdir()}


def wait_until_signals_are_caught(process):
    """Wait until the interpreter has started and runs our code: before, a signal may be lost."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():  # not Linux
        time.sleep(1)
        return
    while process.poll() is None:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught is None or int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_ends_every_command_in_one_line(name, number, place):
    """It comes while modules are imported, or while threads are at work."""
    before = files(place)
    process = subprocess.Popen(
        [*DETECTORKIT, *COMMAND[name].split()], cwd=place, stderr=subprocess.PIPE, text=True
    )
    wait_until_signals_are_caught(process)
    time.sleep(random.Random(f"{name} {number}").uniform(0, 0.85))
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    if process.returncode:  # it had not ended yet
        assert process.returncode == 128 + number, said
        assert said.splitlines()[-1] == "detectorkit: stopped."
        assert "Traceback" not in said
    left = [name for name in files(place) - before if name.startswith(".")]
    assert not left


def test_a_second_signal_ends_a_command_at_once_even_in_foreign_code(tmp_path):
    code = (
        "import detectorkit.cli, detectorkit.__main__ as command\n"
        "def run():\n"
        "    for said in ('ready', 'swallowed'):\n"
        "        try:\n"
        "            print(said, flush=True)\n"
        "            __import__('time').sleep(60)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
        "detectorkit.cli.main = run\n"
        "command.main()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for expected in ("ready\n", "swallowed\n"):
            assert process.stdout.readline() == expected
            process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130


def test_a_signal_that_is_lost_in_a_callback_ends_a_command_in_one_line():
    code = (
        "import os, signal, time, weakref\n"
        "import detectorkit.cli, detectorkit.__main__ as command\n"
        "command._PATIENCE = 0.1\n"
        "def run():\n"
        "    one = set()\n"
        "    seen = weakref.ref(one, lambda _: os.kill(os.getpid(), signal.SIGINT))\n"
        "    del one\n"
        "    time.sleep(60)\n"
        "detectorkit.cli.main = run\n"
        "command.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "detectorkit: stopped.\n")


def test_what_is_ignored_stays_ignored(place):
    """As in a script's background jobs."""
    command = shlex.join([*DETECTORKIT, *COMMAND["predict"].split()])
    process = subprocess.Popen(
        ["sh", "-c", f"trap '' INT; exec {command}"], cwd=place, stdout=subprocess.DEVNULL
    )
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0


def run_with_small_disk(place, arguments, size):
    """Run a command that can write no file longer than a number of bytes."""
    code = (
        "import resource, signal, detectorkit.__main__ as command\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "command.main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_is_status_2_and_the_old_files_stay(name, place, tmp_path):
    for link in place.iterdir():
        (tmp_path / link.name).symlink_to(link)
    old = ["new.onnx", "new.png", "new.npy", "report.html"]
    for file in old:
        (tmp_path / file).write_text("old")
    before = files(tmp_path) | ({"demo"} if name == "demo" else set())
    done = run_with_small_disk(tmp_path, COMMAND[name].split(), 1000)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("detectorkit "))
    target = {"demo": "demo/model.onnx", "align": "copy"}.get(name, "new.")
    assert "File too large" in line
    assert target in line or "report.html" in line
    assert "Warning" not in done.stderr
    assert files(tmp_path) == before
    assert {(tmp_path / file).read_text() for file in old} == {"old"}
    assert not list(tmp_path.glob("demo/*"))


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("name", ["predict", "explain"])
def test_closed_streams_are_no_error(name, closed, place, tmp_path):
    for link in place.iterdir():
        (tmp_path / link.name).symlink_to(link)
    command = f"{shlex.join([*DETECTORKIT, *COMMAND[name].split()])} {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
    n_lines = {"predict": 120, "explain": 1}[name] if closed == "2>&-" else 0
    assert done.stdout.count(b"\n") == n_lines


def test_the_library_works_without_standard_error(upsampled, folder, monkeypatch):
    """As in a program without a console."""
    from detectorkit import HoGSVMDetector
    from detectorkit.datasets import audit, load_images

    monkeypatch.setattr(sys, "stderr", None)
    HoGSVMDetector(verbose=True).fit(upsampled.data[:40], upsampled.target[:40])
    found = load_images(folder)
    assert audit(found.data, found.target, verbose=True).metadata


def test_a_verdict_does_not_wait_for_the_last_image(place, folder):
    from argparse import Namespace

    from detectorkit.cli.predict import _Judge

    taken = []

    class Paths(list):
        def __getitem__(self, part):
            taken.append(part)
            return super().__getitem__(part)

    paths = Paths(sorted(map(str, folder.rglob("*.png"))))
    judge = _Judge("m", place / "m.onnx", len(paths), Namespace(jobs=1, fpr=None))
    rows = judge.judge_all(paths)
    first = next(rows)
    assert taken == [slice(0, 8)]
    assert [row["path"] for row in (first, *rows)] == paths
