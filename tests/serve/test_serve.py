"""The server as a program sees it: a real one, at a free port of this machine."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
pytest.importorskip("python_multipart", reason="the extra 'serve' is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

from detectorkit.cli import main, serve
from detectorkit.exceptions import ImageReadError
from detectorkit.images.decoding import decode_image
from detectorkit.images.encoding import encode_image
from detectorkit.serve import Limits, create_app
from detectorkit.serve.engine import Engine


class Client:
    """Asks a server, each time by a new connection."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            self.headers = answer.headers
            return answer.status, answer.read()
        finally:
            connection.close()

    def judge(self, body, **headers):
        status, content = self.ask("POST", "/predict", body, **headers)
        return status, json.loads(content)

    def send_raw(self, data):
        """What is answered to bytes that need not be HTTP."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def serving(model, **options):
    app = create_app(model, n_jobs=2, **options)
    config = uvicorn.Config(app, log_level="critical", ws="none", lifespan="on")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def model(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "own.onnx"
    fitted.save(path)
    return path


@pytest.fixture(scope="module")
def client(model):
    with serving(model) as client:
        yield client


@pytest.fixture(scope="module")
def png(upsampled):
    return encode_image(upsampled.data[0])


def form(*files):
    head = '--xyz\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n'
    parts = [(head % name).encode() + content + b"\r\n" for name, content in files]
    return b"".join(parts) + b"--xyz--\r\n"


FORM = {"Content_Type": "multipart/form-data; boundary=xyz"}


def test_an_image_that_cannot_be_judged_has_a_reason(client, odd_images):
    rows = {}
    for name, path in odd_images.items():
        status, rows[name] = client.judge(Path(path).read_bytes())
        assert status == 200
    assert rows.pop("normal")["unfit"] is None
    assert {row["verdict"] for row in rows.values()} == {"can't tell"}
    assert "is 40 px" in rows["tiny"]["unfit"]
    assert "one colour" in rows["white"]["unfit"]


def test_a_verdict_equals_that_of_predict(client, model, folder, capsys):
    paths = sorted(folder.rglob("*.png"))[:6]
    assert main(["predict", "-m", str(model), "--json", *map(str, paths)]) == 0
    for path, line in zip(paths, capsys.readouterr().out.splitlines(), strict=True):
        status, row = client.judge(path.read_bytes())
        assert status == 200
        expected = json.loads(line) | {"path": None, "model": "own.onnx"}
        assert row.pop("says") == []
        assert row.pop("score") == pytest.approx(expected.pop("score"), abs=1e-5)
        assert row.pop("probability") == pytest.approx(expected.pop("probability"), abs=1e-5)
        assert row == expected


@pytest.mark.parametrize("name", ["hog-svm", "cnn"])
def test_judging_together_equals_one_by_one(name, upsampled):
    engine = Engine(name, n_jobs=1, n_pixels=10**6)
    images = [engine.prepare(encode_image(image)) for image in upsampled.data[:8]]
    alone = [engine.judge([image])[0]["score"] for image in images]
    assert [row["score"] for row in engine.judge(images)] == pytest.approx(alone, abs=1e-4)


def test_an_image_at_fault_does_not_spoil_the_others(model, png):
    engine = Engine(model, n_jobs=1, n_pixels=10**6)
    good = engine.prepare(png)
    found = engine.judge([good, good._replace(pixels=np.full((64, 64, 3), 5.0)), good])
    assert isinstance(found[1], ValueError)
    assert found[0] == found[2] == engine.judge([good])[0]


def test_many_at_once_are_all_answered(client, upsampled):
    contents = [encode_image(image) for image in upsampled.data[:30]]
    alone = [client.judge(content)[1]["score"] for content in contents]
    with ThreadPoolExecutor(30) as pool:
        together = [row["score"] for _, row in pool.map(client.judge, contents)]
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_form_and_the_name_of_its_file(client, png):
    status, row = client.judge(form(("a b.png", png)), **FORM)
    assert (status, row["path"]) == (200, "a b.png")
    assert row["score"] == client.judge(png)[1]["score"]


def test_what_a_file_says_of_itself_is_told(client):
    from io import BytesIO

    from PIL import Image, PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a fox\nSteps: 20, Sampler: Euler a, Seed: 1, Model: v1-5")
    file = BytesIO()
    Image.new("RGB", (32, 32)).save(file, "PNG", pnginfo=text)
    row = client.judge(file.getvalue())[1]
    assert row["provenance"]["findings"][0]["says"] == "generated"
    assert "v1-5" in row["says"][0]


def test_a_map_is_a_picture_of_the_image(client, png):
    status, content = client.ask("POST", "/explain", png)
    assert (status, client.headers["content-type"]) == (200, "image/png")
    assert decode_image(content).shape[2] == 3


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "headers"),
    [
        (400, "POST", "/predict", b"", {}),
        (415, "POST", "/predict", b"no image", {}),
        (415, "POST", "/predict", b"x", {"Content_Type": "multipart/mixed; boundary=x"}),
        (422, "POST", "/predict", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, {}),
        (422, "POST", "/explain", b"\xff\xd8\xff" + b"\0" * 99, {}),
        (400, "POST", "/predict", b"x", {"Content_Type": "multipart/form-data"}),
        (400, "POST", "/predict", b"x", FORM),
        (400, "POST", "/predict", form(), FORM),
        (400, "POST", "/predict", form(("a", b"x"))[:-9], FORM),
        (422, "POST", "/predict", form(("a", b"x"), ("b", b"x")), FORM),
        (405, "GET", "/predict", None, {}),
        (405, "POST", "/", b"", {}),
        (404, "GET", "/etc/passwd", None, {}),
        (404, "GET", "/../page.html", None, {}),
        (404, "POST", "/predict/", b"x", {}),
        (400, "GET", "/", None, {"Host": "evil.example"}),
        (403, "POST", "/predict", b"x", {"Origin": "http://evil.example"}),
        (403, "POST", "/predict", b"x", {"Origin": "null"}),
    ],
)
def test_wrong_requests_get_a_clean_error(client, status, method, path, body, headers):
    found, content = client.ask(method, path, body, **headers)
    assert found == status
    assert list(json.loads(content)) == ["error"]
    assert b"Traceback" not in content


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nxx",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_does_no_harm(client, data):
    answer = client.send_raw(data)
    assert not answer or answer.split(b" ")[1].startswith(b"4")
    assert client.ask("GET", "/health")[0] == 200


def test_limits(model, png):
    limits = Limits(n_bytes=len(png) + 500, n_pixels=500)
    with serving(model, limits=limits) as client:
        status, said = client.judge(png)
        assert (status, said["error"]) == (413, "128 x 128 pixels are more than max_pixels=500.")
        assert client.judge(b"x" * (len(png) + 501))[0] == 413
        chunks = iter([b"x" * len(png), b"x" * 501])  # of unknown length
        assert client.judge(chunks)[0] == 413
    with serving(model, limits=Limits(n_bytes_held=100)) as client:
        assert client.judge(png)[0] == 503
    with serving(model, limits=Limits(n_waiting=0, n_maps_waiting=0)) as client:
        for path in ("/predict", "/explain"):
            status, content = client.ask("POST", path, png)
            assert (status, client.headers["retry-after"]) == (503, "1")
            assert "waiting" in json.loads(content)["error"]


def test_what_takes_too_long_is_given_up(model, png):
    with serving(model, limits=Limits(seconds=0.2, seconds_of_map=1e-6)) as client:
        client.judge(png)  # the first takes longer
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nxx"
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
            connection.sendall(head)  # and no more
            assert connection.recv(100).startswith(b"HTTP/1.1 503")
        assert client.ask("POST", "/explain", png)[0] == 503
        assert client.judge(png)[0] == 200


def test_a_failure_inside_is_told_without_its_details(model, png, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(Engine, "prepare", fail)
    with serving(model) as client:
        status, said = client.judge(png)
        assert status == 500
        assert said == {"error": "the server failed on this request."}
        assert client.ask("GET", "/metrics")[1].count(b'path="/predict",status="500"} 1')


def test_a_token(model, png):
    with serving(model, token="sesame", loopback_only=False) as client:
        assert client.judge(png)[0] == 401
        assert client.judge(png, Authorization="Bearer sesam")[0] == 401
        assert client.judge(png, Authorization="Bearer \xff")[0] == 401
        assert client.judge(png, Authorization="Bearer sesame")[0] == 200
        assert client.ask("GET", "/health", Host="a.example")[0] == 200
        status, content = client.ask("GET", "/")
        assert (status, b"<input" in content) == (401, True)
        assert client.ask("GET", "/?token=wrong")[0] == 401
        assert client.judge(png, Cookie="detectorkit=sesame")[0] == 401
        assert client.ask("POST", "/predict?token=sesame", png)[0] == 401
        assert client.ask("GET", "/?token=sesame")[0] == 303
        assert client.headers["location"] == "/"
        cookie = client.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "sesame" not in cookie
        assert client.judge(png, Cookie=cookie.partition(";")[0])[0] == 200


def test_the_page_runs_nothing_from_elsewhere(client):
    status, page = client.ask("GET", "/")
    assert status == 200
    assert len(page) < 25_000
    assert b"http://" not in page
    assert b"https://" not in page
    policy = client.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert client.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in client.headers


def test_models_card_and_description(client):
    described = json.loads(client.ask("GET", "/models")[1])
    assert described["name"] == "own.onnx"
    assert ".heic" in described["suffixes"]
    assert b"This model has no card" in client.ask("GET", "/card")[1]
    paths = json.loads(client.ask("GET", "/openapi.json")[1])["paths"]
    assert set(paths) >= {"/", "/predict", "/explain", "/models", "/card", "/health", "/metrics"}
    for path, methods in paths.items():
        if "get" in methods:
            assert client.ask("GET", path)[0] == 200
    with serving("clip") as other:
        assert b"Limits" in other.ask("GET", "/card")[1]
        assert "could not tell" in json.loads(other.ask("GET", "/models")[1])["limits"]


def test_metrics(model, png):
    with serving(model) as client:
        client.judge(png)
        client.judge(b"x")
        text = client.ask("GET", "/metrics")[1].decode()
    assert 'detectorkit_requests_total{path="/predict",status="200"} 1\n' in text
    assert 'detectorkit_requests_total{path="/predict",status="415"} 1\n' in text
    assert 'detectorkit_predict_seconds_bucket{le="+Inf"} 2\n' in text
    assert "detectorkit_waiting 0\n" in text
    assert sum(f'verdict="{one}"}} 1\n' in text for one in ("real", "generated", "can't tell")) == 1


def test_a_model_that_is_none_is_an_error(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no\.onnx"):
        create_app(tmp_path / "no.onnx")


def test_an_answer_does_not_wait_for_an_acknowledgement():
    """Each took 40 ms, as it was sent in two parts."""
    with (
        serve._listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_one_line(model, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "-m", str(model), "--port", port]) == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in capsys.readouterr().err
    assert main(["serve", "-m", str(model), "--port", "99999"]) == 2


def test_an_image_that_cannot_be_read_is_named_by_no_path(model):
    engine = Engine(model, n_jobs=1, n_pixels=10**6)
    with pytest.raises(ImageReadError) as info:
        engine.prepare(b"\xff\xd8\xff")
    assert info.value.reason
