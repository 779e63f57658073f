"""Files appear whole or not at all, whoever else writes and whatever goes wrong."""

import os
import subprocess
import sys

import pytest

from detectorkit.utils.files import fill_whole_folder, open_whole, read_regular, write_whole


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_text_and_bytes(tmp_path):
    for content, expected in (("ä\r\nb\n", "ä\r\nb\n".encode()), (b"\x00\xff", b"\x00\xff")):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == expected
    assert names(tmp_path) == ["file"]


def test_the_longest_name(tmp_path):
    name = "ä" * 127  # 254 bytes; a file system takes 255
    write_whole(tmp_path / name, "content")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_of_the_user_beside_it_is_untouched(tmp_path, is_link):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    beside = tmp_path / "model.onnx.partial"
    if is_link:
        beside.symlink_to(precious)
    else:
        beside.write_text("mine")
    write_whole(tmp_path / "model.onnx", "model")
    assert (tmp_path / "model.onnx").read_text() == "model"
    assert not (tmp_path / "model.onnx").is_symlink()
    assert precious.read_text() == "precious"
    assert beside.read_text() == ("precious" if is_link else "mine")


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "current.onnx").symlink_to("models/v1.onnx")  # leads nowhere so far
    for content in ("first", "second"):
        write_whole(tmp_path / "current.onnx", content)
        assert (tmp_path / "current.onnx").is_symlink()
        assert (tmp_path / "models/v1.onnx").read_text() == content
    assert names(tmp_path / "models") == ["v1.onnx"]


def test_permissions_are_those_of_a_new_or_of_the_old_file(tmp_path):
    path, mask = tmp_path / "file", os.umask(0o027)
    try:
        write_whole(path, "new")
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o604)
        write_whole(path, "replaced")
        assert path.stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(mask)


def test_what_is_not_a_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, "through the pipe")
    assert os.read(reader, 100) == b"through the pipe"
    os.close(reader)
    assert pipe.is_fifo()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "x")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_keeps_the_old_file_and_leaves_no_litter(tmp_path, error):
    path = tmp_path / "file"
    for old in (None, "old"):
        if old:
            path.write_text(old)
        with pytest.raises(type(error)), open_whole(path) as file:  # noqa: PT012 - the body is the test
            file.write(b"half of it")
            file.flush()
            raise error
        assert names(tmp_path) == (["file"] if old else [])
    assert path.read_text() == "old"


def test_a_full_disk(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import resource, signal, sys; from detectorkit.utils.files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_whole(sys.argv[1], b'x' * 100_000)\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith(f"File too large: '{path}'\n"), done.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_errors_name_the_path_that_was_asked_for(tmp_path):
    path = tmp_path / "no folder" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(path, "x")
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{path}'"


def test_several_processes_write_to_one_path(tmp_path):
    path = tmp_path / "file"
    program = (
        "import sys; from detectorkit.utils.files import write_whole\n"
        "for _ in range(50): write_whole(sys.argv[1], sys.argv[2].encode() * 100_000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, path, mark]) for mark in "abc"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 100_000
            assert len(set(content)) == 1
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert path.read_bytes() in {mark * 100_000 for mark in (b"a", b"b", b"c")}
    assert names(tmp_path) == ["file"]


def test_a_folder_is_filled_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(KeyboardInterrupt), fill_whole_folder(target) as folder:  # noqa: PT012
        (folder / "file").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    target.mkdir()  # empty, so it may be replaced
    with fill_whole_folder(target) as folder:
        (folder / "file").write_text("whole")
    assert names(tmp_path) == ["folder"]
    assert (target / "file").read_text() == "whole"


def test_only_regular_files_of_a_bounded_length_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_regular(path, 4)
    with pytest.raises(OSError, match=r"a directory|not a regular file|denied"):
        read_regular(tmp_path, 5)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_regular(path, 5)
