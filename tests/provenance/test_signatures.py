"""Content credentials that are signed here, with certificates made here."""

import datetime as dt
import http.server
import io
import json
import random
import struct
import threading

import pytest
from PIL import Image

from detectorkit.provenance import read_provenance
from detectorkit.provenance.credentials import check_credentials
from detectorkit.provenance.pieces import Manifest

c2pa = pytest.importorskip("c2pa", reason="needs the extra 'provenance'")
x509 = pytest.importorskip("cryptography.x509")

from cryptography.hazmat.primitives import hashes, serialization  # comes along with c2pa
from cryptography.hazmat.primitives.asymmetric import ec

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PEM = serialization.Encoding.PEM
FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF"]


def make_certificate(name, key, issuer, issuer_key):
    """A certificate, of an authority if it issues itself, with what C2PA asks of one."""
    authority = name == issuer
    now = dt.datetime.now(dt.UTC)
    title, issued_by = (
        x509.Name(
            [
                x509.NameAttribute(x509.oid.NameOID.ORGANIZATION_NAME, one),
                x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, one),
            ]
        )
        for one in (name, issuer)
    )
    use = [True, False, False, False, False, authority, authority, False, False]
    extensions = [
        (x509.BasicConstraints(ca=authority, path_length=None), True),
        (x509.KeyUsage(*use), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    ]
    if not authority:
        mail = x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION
        extensions.append((x509.ExtendedKeyUsage([mail]), False))
    builder = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(issued_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(PEM)


@pytest.fixture(scope="module")
def authority():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def anchors(tmp_path_factory, authority):
    path = tmp_path_factory.mktemp("anchors") / "anchors.pem"
    path.write_bytes(make_certificate("Authority", authority, "Authority", authority))
    return path


@pytest.fixture(scope="module")
def sign(anchors, authority):
    key = ec.generate_private_key(ec.SECP256R1())
    chain = make_certificate("OpenAI", key, "Authority", authority) + anchors.read_bytes()
    secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def sign_file(file_format, *source_types, parent=None, name="ChatGPT", url=None):
        """Sign an image whose actions have these source types, or an edit of a parent."""
        actions = [
            {"action": "c2pa.edited" if number else "c2pa.created"}
            | {"digitalSourceType": SOURCE_TYPE + one}
            for number, one in enumerate(source_types)
        ]
        manifest = {"claim_generator_info": [{"name": name, "version": "1"}], "assertions": []}
        if actions:
            content = {"label": "c2pa.actions.v2", "data": {"actions": actions}}
            manifest["assertions"].append(content)
        mime = f"image/{file_format.lower()}"
        source, target = io.BytesIO(parent or encode(file_format)), io.BytesIO()
        info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, secret, None)
        settings = {"builder": {"thumbnail": {"enabled": False}}}
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder(json.dumps(manifest), context=context) as builder,
        ):
            if parent is not None:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            if url is not None:
                builder.set_no_embed()
                builder.set_remote_url(url)
            builder.sign(signer, mime, source, target)
        return target.getvalue()

    return sign_file


@pytest.fixture
def read(tmp_path):
    def read_one(data, **options):
        path = tmp_path / "a.bin"
        path.write_bytes(data)
        (finding,) = read_provenance(path, **options).findings
        return finding

    return read_one


def encode(file_format):
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 140, 60)).save(file, file_format)
    return file.getvalue()


@pytest.mark.parametrize("file_format", FORMATS)
def test_signatures_are_checked(file_format, sign, read, anchors):
    data = sign(file_format, "trainedAlgorithmicMedia")
    found = read(data)
    assert (found.says, found.tool, found.evidence) == ("generated", "ChatGPT", "signed")
    assert found.detail == "made by a trained model; signed in the name of OpenAI"
    assert not found.proven
    trusted = read(data, trust_anchors=anchors)
    assert trusted.proven
    assert trusted.detail.endswith("; signed by OpenAI")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF"])
def test_another_picture_breaks_the_signature(file_format, sign, read, anchors):
    data = bytearray(sign(file_format, "digitalCapture"))
    data[-20] ^= 1
    found = read(bytes(data), trust_anchors=anchors)
    assert (found.says, found.evidence) == ("unknown", "broken")
    assert "assertion.dataHash.mismatch" in found.detail


@pytest.mark.parametrize(
    ("source_types", "says"),
    [
        (["digitalCapture"], "camera"),
        (["compositeWithTrainedAlgorithmicMedia"], "edited"),
        (["digitalCapture", "compositeWithTrainedAlgorithmicMedia"], "edited"),
        (["trainedAlgorithmicMedia", "humanEdits"], "generated"),
        (["digitalCreation"], "unknown"),
    ],
)
def test_the_strongest_source_type_counts(source_types, says, sign, read):
    assert read(sign("PNG", *source_types)).says == says


def test_a_picture_that_was_generated_before_the_last_change(sign, read):
    parent = sign("JPEG", "trainedAlgorithmicMedia")
    found = read(sign("JPEG", parent=parent, name="Editor"))
    assert (found.says, found.tool) == ("generated", "Editor")
    assert "before the last change" in found.detail
    assert read(sign("JPEG", parent=encode("JPEG"))).detail.startswith("no source type")


def test_names_in_a_manifest_are_escaped(sign, read):
    found = read(sign("PNG", "digitalCapture", name="\x1b[2JCamera\u202e" + "x" * 1000))
    assert found.line().isprintable()
    assert len(found.line()) < 600


def test_boxes_a_hundred_thousand_deep_are_refused(read):
    uuid = b"c2pa" + bytes.fromhex("00110010800000aa00389b71")
    description = struct.pack(">I4s", 29, b"jumd") + uuid + b"\3c2pa\0"
    sizes = range(37 * 100_000, 0, -37)
    boxes = b"".join(struct.pack(">I4s", size, b"jumb") + description for size in sizes)
    data = encode("PNG")
    found = read(data[:33] + struct.pack(">I", len(boxes)) + b"caBX" + boxes + bytes(4) + data[33:])
    assert found.evidence == "broken"


def test_nothing_is_fetched(sign):
    """A manifest that is kept at an address is asked for by default, and not by us."""
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/manifest"
        data = sign("PNG", "digitalCapture", url=url)
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader(io.BytesIO(data))
        assert asked == ["/manifest"]
        found = check_credentials(data, Manifest("PNG"), None)
        server.shutdown()
    assert found.evidence == "broken"
    assert asked == ["/manifest"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_hostile_manifests_raise_nothing(file_format, sign, read, tmp_path, anchors):
    data = sign(file_format, "trainedAlgorithmicMedia")
    original = read(data, trust_anchors=anchors)
    begin = data.index(b"jumb") - 40
    random_state = random.Random(file_format)
    changed = [data[:end] for end in random_state.sample(range(begin, len(data)), 15)]
    for n_bytes in [1] * 20 + [4] * 15:
        flipped = bytearray(data)
        for place in random_state.sample(range(begin, begin + 2500), n_bytes):
            flipped[place] ^= random_state.randrange(1, 256)
        changed.append(bytes(flipped))
    kinds = set()
    for one in changed:
        path = tmp_path / "changed"
        path.write_bytes(one)
        for finding in read_provenance(path, trust_anchors=anchors).findings:
            kinds.add(finding.evidence)
            assert finding.line().isprintable()
            assert not finding.proven or finding == original  # padding may change
    assert "broken" in kinds
