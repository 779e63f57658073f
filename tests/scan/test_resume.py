"""Tables and journals: a scan that is killed and repeated is as one that was not."""

import csv
import json
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from detectorkit.scan import ScanRow, scan, scan_to_file
from detectorkit.scan.journal import Journal
from detectorkit.scan.judging import Judge

SCAN = [sys.executable, "-m", "detectorkit", "scan"]


def without_seconds(rows):
    return [row._replace(seconds=0.0) for row in rows]


def read_lines(path):
    return [ScanRow(**json.loads(line)) for line in path.read_text().splitlines()]


@pytest.fixture
def expected(tree, model):
    return without_seconds(scan([tree], model=model))


def test_tables_hold_the_rows(tree, model, tmp_path, expected):
    summary = scan_to_file([tree], tmp_path / "a.jsonl", model=model)
    assert without_seconds(read_lines(tmp_path / "a.jsonl")) == expected
    assert (summary.counts.total(), summary.counts[None], summary.n_new) == (42, 2, 42)
    assert str(summary).startswith("42 images: ")
    scan_to_file([tree], tmp_path / "a.csv", model=model)
    with (tmp_path / "a.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["path"] for row in found] == [row.path for row in expected]
    assert [row["score"] for row in found] == [
        "" if row.score is None else str(row.score) for row in expected
    ]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "a.csv",
        "a.jsonl",
    ]


def test_parquet_holds_the_rows_with_their_types(tree, model, tmp_path, expected):
    parquet = pytest.importorskip("pyarrow.parquet")
    scan_to_file([tree], tmp_path / "a.parquet", model=model)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert without_seconds(ScanRow(**row) for row in table.to_pylist()) == expected
    assert [str(table.schema.field(name).type) for name in ("path", "size", "score")] == [
        "string",
        "int64",
        "double",
    ]


def test_parquet_without_its_package_is_an_error_that_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'needs pyarrow.*the extra "scan": pip install pyarrow'):
        scan_to_file([tmp_path], tmp_path / "a.parquet")


def test_a_scan_goes_on_after_a_kill_at_any_byte(tree, model, tmp_path, expected, monkeypatch):
    """The journal is cut where a kill or a full disk may have cut it, within a line too."""
    output, journal = tmp_path / "a.jsonl", tmp_path / "a.jsonl.journal"
    monkeypatch.setattr("detectorkit.scan.scanning.write_table", fail)
    with pytest.raises(OSError, match="no space"):
        scan_to_file([tree], output, model=model)
    monkeypatch.undo()
    whole = journal.read_bytes()
    header = whole.index(b"\n") + 1
    for end in (0, 7, header, header + 9, len(whole) // 2, len(whole) - 1, len(whole)):
        journal.write_bytes(whole[:end])
        summary = scan_to_file([tree], output, model=model, n_jobs=2)
        assert without_seconds(read_lines(output)) == expected
        assert not journal.exists()
        assert summary.n_new == 42 - max(whole[:end].count(b"\n") - 1, 0)
        output.unlink()


def fail(*_):
    raise OSError("no space")


def test_kills_lose_nothing_and_double_nothing(tree, model, tmp_path, expected):
    """Each run is killed when the journal has grown, at an instant that nobody chose."""
    output, journal = tmp_path / "a.jsonl", tmp_path / "a.jsonl.journal"
    moments = random.Random(0)
    command = [*SCAN, str(tree), "-m", model, "-o", str(output), "--jobs", "2"]
    for _ in range(2):
        before = journal.stat().st_size if journal.exists() else 0
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if journal.exists() and journal.stat().st_size > max(before, 1000):
                    break
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.003))
            process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout.startswith("42 images: "), done.stderr
    assert without_seconds(read_lines(output)) == expected


def test_what_differs_is_refused_with_its_cure(tree, model, tmp_path, fitted):
    output, journal = tmp_path / "a.csv", tmp_path / "a.csv.journal"
    scan_to_file([tree], output, model=model)
    with pytest.raises(FileExistsError, match=r"a\.csv exists. .*pass again=True"):
        scan_to_file([tree], output, model=model)
    scan_to_file([tree], output, model=model, again=True)
    output.unlink()
    journal.write_text('{"model": "other", "threshold": null, "inputs": ["x"]}\n')
    with pytest.raises(ValueError, match=r"another model and another inputs: other, \['x'\]"):
        scan_to_file([tree], output, model=model)
    journal.write_text("nothing\n")
    with pytest.raises(ValueError, match="is not the journal of a scan"):
        scan_to_file([tree], output, model=model)
    scan_to_file([tree], output, model=model, again=True)
    assert not journal.exists()
    with pytest.raises(ValueError, match=r"a\.txt has none of the suffixes \.parquet, \.csv"):
        scan_to_file([tree], tmp_path / "a.txt", model=model)
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        scan_to_file([tree], tmp_path / "none" / "a.csv", model=model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there are no images in"):
        scan_to_file([tmp_path / "empty"], tmp_path / "b.csv", model=model)
    assert not (tmp_path / "b.csv.journal").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_two_scans_do_not_share_a_journal(tree, model, tmp_path):
    from detectorkit.scan.journal import Journal

    with (
        Journal(tmp_path / "a.csv.journal", {}),
        pytest.raises(ValueError, match="another scan is at work on"),
    ):
        scan_to_file([tree], tmp_path / "a.csv", model=model)


@pytest.mark.parametrize(("seconds", "later"), [(0.001, 8), (0.5, 4), (9.0, 1)])
def test_batches_of_a_slow_model_are_small(seconds, later, tree, model, tmp_path, monkeypatch):
    """So that the journal grows every few seconds."""
    sizes = []
    judge = Judge.__call__

    def judge_slowly(self, entries):
        sizes.append(len(entries))
        return [row._replace(seconds=seconds) for row in judge(self, entries)]

    monkeypatch.setattr(Judge, "__call__", judge_slowly)
    scan_to_file([tree], tmp_path / "a.csv", model=model, n_jobs=1)
    assert sum(sizes) == 42
    assert sizes[:1] == [1]
    assert set(sizes[1:-1]) == {later}


def test_a_stopped_scan_tells_what_is_done(tree, model, tmp_path, monkeypatch, capsys):
    calls = []
    append = Journal.append

    def stop(self, rows):
        append(self, rows)
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", stop)
    monkeypatch.setattr("detectorkit.scan.scanning.on_terminal", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        scan_to_file([tree], tmp_path / "a.csv", model=model, n_jobs=1, verbose=True)
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"17( of \d+)? images are done\. Repeat the command to go on\.", said)
