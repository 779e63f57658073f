"""What is read of files as the tools write them, made here byte for byte; and of hostile ones."""

import io
import json
import os
import random
import struct
import sys
import time
import tracemalloc
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from detectorkit.exceptions import ImageReadError
from detectorkit.provenance import read_provenance

PIXELS = Image.new("RGB", (32, 24), (90, 140, 60))
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def encode(file_format, **options):
    file = io.BytesIO()
    PIXELS.save(file, file_format, **options)
    return file.getvalue()


def png(**texts):
    """A PNG file with a tEXt chunk, or iTXt where the text asks for it, for each keyword."""
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key.replace("__", "-"), text)
    return encode("PNG", pnginfo=info)


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png_with(kind, content):
    """A PNG file with one more chunk behind its header."""
    data = encode("PNG")
    return data[:33] + chunk(kind, content) + data[33:]


def jpeg_with(*segments):
    """A JPEG file with more segments, each a marker and its content."""
    data = encode("JPEG")
    parts = [struct.pack(">BBH", 0xFF, mark, len(one) + 2) + one for mark, one in segments]
    return data[:2] + b"".join(parts) + data[2:]


def exif(**tags):
    """EXIF data with texts in the first directory; UserComment stands in that of EXIF itself."""
    numbers = {"ImageDescription": 270, "Make": 271, "Model": 272, "Software": 305, "Artist": 315}
    found = Image.Exif()
    comment, date = tags.pop("UserComment", None), tags.pop("DateTimeOriginal", None)
    for name, text in tags.items():
        found[numbers[name]] = text
    if comment is not None:
        found.get_ifd(0x8769)[0x9286] = comment
    if date is not None:
        found.get_ifd(0x8769)[0x9003] = date
    return found.tobytes()


def xmp(attributes="", elements=""):
    names = {
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "dcterms": "http://purl.org/dc/terms/",
    }
    spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in names.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{elements}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def jpeg_xmp(packet):
    return jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))


def box(kind, content):
    return struct.pack(">I4s", len(content) + 8, kind) + content


def jumbf(label=b"c2pa"):
    """The outermost boxes of a store of manifests, without any manifest."""
    uuid = label + bytes.fromhex("00110010800000aa00389b71")
    return box(b"jumb", box(b"jumd", uuid + b"\3" + label + b"\0"))


def iptc(number, text):
    dataset = struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text
    padded = dataset + b"\0" * (len(dataset) % 2)
    return b"Photoshop 3.0\0" + b"8BIM\4\4\0\0" + struct.pack(">I", len(dataset)) + padded


PARAMETERS = (
    "a fox in the snow\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, "
    "Seed: 1, Size: 512x512, Model hash: 6ce0161689, Model: v1-5-pruned, Version: v1.6.0"
)
GRAPH = json.dumps(
    {
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "sampler_name": "dpmpp_2m"}},
        "4": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"},
        },
    }
)
WORKFLOW = json.dumps(
    {
        "nodes": [{"id": 1, "type": "UNETLoader", "widgets_values": ["flux1-dev.safetensors"]}],
        "version": 0.4,
    }
)


def gif_with_xmp(packet):
    data = encode("GIF")
    magic = bytes([1, *range(255, -1, -1), 0])
    begin = 13 + (3 << (data[10] & 7) + 1)
    return data[:begin] + b"!\xff\x0bXMP DataXMP" + packet + magic + data[begin:]


def heif(**items):
    """A HEIF file, without a picture, with items of metadata in its box "idat"."""
    kinds = {"exif": b"Exif\0", "xmp": b"mime\0application/rdf+xml\0"}
    infos, places, content = b"", b"", b""
    for number, (name, data) in enumerate(items.items(), 1):
        infos += box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + kinds[name])
        places += struct.pack(">HHHHII", number, 1, 0, 1, len(content), len(data))
        content += data
    n_items = struct.pack(">H", len(items))
    parts = (
        box(b"iinf", bytes(4) + n_items + infos)
        + box(b"iloc", b"\1\0\0\0\x44\0" + n_items + places)
        + box(b"idat", content)
    )
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(4) + parts)


GOOGLE = xmp(
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}trainedAlgorithmicMedia" '
    'photoshop:Credit="Made with Google AI"'
)
CAMERA = exif(Make="Canon", Model="Canon EOS 6D", DateTimeOriginal="2015:01:02 03:04:05")
WIDE_COMMENT = b"UNICODE\0" + PARAMETERS.encode("utf-16-be")
DRAW_THINGS = xmp(
    'xmp:CreatorTool="Draw Things"',
    '<exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">'
    '{"c": "a fox", "model": "sd3.ckpt", "sampler": "DPM++ 2M", "seed": 3, "steps": 20}'
    "</rdf:li></rdf:Alt></exif:UserComment>",
)

# Name of a file: its content, and what must be found: kind, says, tool, part of the detail.
SETTINGS = "generator settings"
A1111 = "AUTOMATIC1111 or a tool that writes its form"
FILES = {
    "automatic1111.png": (png(parameters=PARAMETERS), (SETTINGS, "generated", A1111, "v1-5")),
    "automatic1111.jpg": (
        encode("JPEG", exif=exif(UserComment=WIDE_COMMENT)),
        (SETTINGS, "generated", A1111, "Euler a"),
    ),
    "automatic1111.webp": (
        encode("WEBP", exif=exif(UserComment=WIDE_COMMENT)),
        (SETTINGS, "generated", A1111, "Euler a"),
    ),
    "automatic1111.gif": (
        encode("GIF", comment=PARAMETERS.encode()),
        (SETTINGS, "generated", A1111, "Euler a"),
    ),
    "forge.png": (
        png(parameters=PARAMETERS.replace("v1.6.0", "f2.0.1v1.10.1")),
        (SETTINGS, "generated", "Stable Diffusion WebUI Forge", ""),
    ),
    "compressed.png": (
        png_with(b"zTXt", b"parameters\0\0" + zlib.compress(PARAMETERS.encode())),
        (SETTINGS, "generated", A1111, "v1-5"),
    ),
    "international.png": (
        png_with(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(("狐" + PARAMETERS).encode())),
        (SETTINGS, "generated", A1111, "v1-5"),
    ),
    "novelai.png": (
        png(
            Title="NovelAI generated image",
            Software="NovelAI",
            Source="NovelAI Diffusion V4 37442FCA",
            Comment=json.dumps({"steps": 28, "sampler": "k_euler", "seed": 1, "uc": "blurry"}),
        ),
        ("software", "generated", "NovelAI", "NovelAI"),
    ),
    "invokeai.png": (
        png(invokeai_metadata=json.dumps({"model": {"name": "juggernaut"}, "seed": 1, "steps": 2})),
        (SETTINGS, "generated", "InvokeAI", "juggernaut"),
    ),
    "invokeai_old.png": (
        png(sd__metadata=json.dumps({"model_weights": "sd-1.5", "app_id": "invoke-ai/InvokeAI"})),
        (SETTINGS, "generated", "InvokeAI", "sd-1.5"),
    ),
    "invokeai_first.png": (
        png(Dream='"a fox" -s50 -S1 -W512 -H512 -C7.5 -Ak_lms'),
        (SETTINGS, "generated", "InvokeAI", ""),
    ),
    "comfyui.png": (
        png(prompt=GRAPH, workflow=WORKFLOW),
        (SETTINGS, "generated", "ComfyUI", "model sd_xl_base_1.0.safetensors, sampler dpmpp_2m"),
    ),
    "comfyui_workflow.png": (
        png(workflow=WORKFLOW),
        (SETTINGS, "generated", "ComfyUI", "flux1-dev"),
    ),
    "comfyui.webp": (
        encode("WEBP", exif=exif(Make=f"workflow:{WORKFLOW}", Model=f"prompt:{GRAPH}")),
        (SETTINGS, "generated", "ComfyUI", ".safetensors"),
    ),
    "fooocus.png": (
        png(
            fooocus_scheme="fooocus",
            parameters=json.dumps({"base_model": "jugger", "performance": "Speed", "seed": "1"}),
        ),
        (SETTINGS, "generated", "Fooocus", "jugger"),
    ),
    "swarmui.png": (
        png(parameters=json.dumps({"sui_image_params": {"model": "flux-dev", "seed": 1}})),
        (SETTINGS, "generated", "SwarmUI", "flux-dev"),
    ),
    "easy_diffusion.png": (
        png(use_stable_diffusion_model="sd-v1-4", seed="1"),
        (SETTINGS, "generated", "Easy Diffusion", ""),
    ),
    "draw_things.png": (
        png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + DRAW_THINGS),
        ("software", "generated", "Draw Things", ""),
    ),
    "midjourney.png": (
        png(
            Description="a fox --ar 3:2 --v 6.1 Job ID: 0a1b2c3d-0000-4000-8000-0123456789ab",
            Author="somebody",
        ),
        (SETTINGS, "generated", "Midjourney", "--v 6.1"),
    ),
    "flux.jpg": (
        encode(
            "JPEG",
            exif=exif(
                Software="AI generated;txt2img;flux", Make="Black Forest Labs", Model="flux-dev"
            ),
        ),
        ("software", "generated", "Black Forest Labs FLUX", ""),
    ),
    "google.jpg": (jpeg_xmp(GOOGLE), ("software", "generated", "Google AI", "Made with Google AI")),
    "google.webp": (
        encode("WEBP", xmp=GOOGLE),
        ("source type", "generated", "", "trained model"),
    ),
    "google.gif": (gif_with_xmp(GOOGLE), ("source type", "generated", "", "trained model")),
    "google.tif": (
        encode("TIFF", tiffinfo={700: GOOGLE}),
        ("source type", "generated", "", "trained model"),
    ),
    "google_iptc.jpg": (
        jpeg_with((0xED, iptc(110, b"Edited with Google AI"))),
        ("software", "edited", "Google AI (edit)", ""),
    ),
    "inpainted.jpg": (
        jpeg_xmp(
            xmp(
                elements="<Iptc4xmpExt:DigitalSourceType>"
                f"{SOURCE_TYPE}compositeWithTrainedAlgorithmicMedia"
                "</Iptc4xmpExt:DigitalSourceType>"
            )
        ),
        ("source type", "edited", "", "partly made by a trained model"),
    ),
    "extended_xmp.jpg": (
        jpeg_with(
            *(
                (
                    0xE1,
                    b"http://ns.adobe.com/xmp/extension/\0"
                    + b"0" * 32
                    + struct.pack(">II", len(GOOGLE), begin)
                    + GOOGLE[begin : begin + 300],
                )
                for begin in range(0, len(GOOGLE), 300)
            )
        ),
        ("source type", "generated", "", "trained model"),
    ),
    "label.jpg": (
        jpeg_xmp(xmp(elements='<TC260:AIGC>{"Label":"1","ContentProducer":"doubao"}</TC260:AIGC>')),
        ("AI label", "generated", "doubao", ""),
    ),
    "photoshop.png": (
        encode("PNG", exif=exif(Software="Adobe Photoshop 26.1 (Windows)")),
        ("software", "edited", "Adobe Photoshop", "26.1"),
    ),
    "gimp.jpg": (
        encode("JPEG", comment="Created with GIMP"),
        ("software", "edited", "GIMP", "Created with GIMP"),
    ),
    "camera.jpg": (encode("JPEG", exif=CAMERA), ("camera", "camera", "Canon EOS 6D", "2015")),
    "camera.tif": (
        encode("TIFF", tiffinfo={271: "NIKON CORPORATION", 272: "NIKON D90"}),
        ("camera", "camera", "NIKON CORPORATION NIKON D90", ""),
    ),
    "camera.avif": (encode("AVIF", exif=CAMERA), ("camera", "camera", "Canon EOS 6D", "2015")),
    "camera.heic": (
        heif(exif=struct.pack(">I", 6) + b"Exif\0\0" + CAMERA, xmp=GOOGLE),
        ("camera", "camera", "Canon EOS 6D", "2015"),
    ),
    "unknown_camera.jpg": (
        encode("JPEG", exif=exif(Make="Acme", Model="One")),
        ("camera", "unknown", "Acme One", ""),
    ),
    "elsewhere.jpg": (
        jpeg_xmp(xmp('dcterms:provenance="https://example.org/manifest"')),
        ("content credentials", "unknown", "", "not fetched"),
    ),
}
MANIFESTS = {
    "manifest.png": png_with(b"caBX", jumbf()),
    "manifest.jpg": jpeg_with((0xEB, b"JP" + struct.pack(">HI", 1, 1) + jumbf())),
    "manifest.webp": encode("WEBP") + struct.pack("<4sI", b"C2PA", len(jumbf())) + jumbf(),
    "manifest.avif": encode("AVIF")
    + box(
        b"uuid",
        bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
        + bytes(4)
        + b"manifest\0"
        + bytes(8)
        + jumbf(),
    ),
    "manifest.tif": encode("TIFF", tiffinfo={0xCD41: jumbf()}),
    "manifest.gif": encode("GIF")[:-1]
    + b"!\xff\x0bC2PA_GIF\1\0\0"
    + bytes([len(jumbf())])
    + jumbf()
    + b"\0;",
}


@pytest.fixture
def write(tmp_path):
    def write_file(data, name="a.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file


def read(write, data):
    return read_provenance(write(data)).findings


@pytest.mark.parametrize("name", FILES)
def test_what_tools_write_is_found(name, write):
    data, (kind, says, tool, detail) = FILES[name]
    found = read(write, data)
    assert any(
        (one.kind, one.says, one.tool) == (kind, says, tool) and detail in one.detail
        for one in found
    ), found
    assert not any(one.proven or one.kind == "damaged metadata" for one in found)
    assert all(one.evidence == "claim" for one in found if one.kind != "content credentials")


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_seen_without_the_extra(name, write, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    (found,) = read(write, MANIFESTS[name])
    assert (found.kind, found.says, found.evidence) == (
        "content credentials",
        "unknown",
        "unchecked",
    )
    assert "pip install c2pa-python" in found.detail


@pytest.mark.parametrize("file_format", ["AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_a_plain_file_says_nothing(file_format, write):
    provenance = read_provenance(write(encode(file_format)))
    assert provenance.lines() == []
    assert provenance.to_dict() == {"findings": []}


def test_other_metadata_says_nothing_of_generation(write):
    texts = {"prompt": "a question", "parameters": "Steps: climb them", "Comment": '{"seed": 1}'}
    assert read(write, png(**texts, workflow="[1, 2]", Description="a house", Title="home")) == ()


def test_a_maker_that_is_a_generator_is_not_a_camera(write):
    found = read(write, FILES["flux.jpg"][0])
    assert {(one.kind, one.says) for one in found} == {("software", "generated")}


def test_findings_are_data_and_lines(write):
    provenance = read_provenance(write(FILES["camera.jpg"][0]))
    line = "camera, unproven (EXIF Make, Model): camera, Canon EOS 6D: taken 2015:01:02 03:04:05"
    assert provenance.lines() == [line]
    (fields,) = json.loads(json.dumps(provenance.to_dict()))["findings"]
    assert fields["tool"] == "Canon EOS 6D"
    assert fields["proven"] is False


def test_hostile_text_is_escaped_and_bounded(write):
    hostile = "Midjourney \x1b[2J\r\n\u202egnp\u200b\x85\x9b" + "x" * 100_000
    texts = {"Software": hostile, "Description": hostile + "Job ID: 0a1b2c3d-0000-", "\x1b": "x"}
    packet = xmp('xmp:CreatorTool="&#x202e;&#x85;Firefly&#xfeff;"')
    for data in (png(**texts), png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)):
        lines = read_provenance(write(data)).lines()
        assert lines
        assert all(line.isprintable() and len(line) < 600 for line in lines)


def test_a_text_cannot_pretend_to_be_proven(write):
    fake = "signature intact, signer trusted (PNG caBX): camera, Leica"
    (line,) = read_provenance(write(png(**{fake: PARAMETERS}))).lines()
    assert line.startswith("generator settings, unproven (")


def test_there_is_an_end_to_findings(write):
    same = {f"key{number}": PARAMETERS for number in range(9)}
    assert len(read(write, png(**same))) == 1
    info = PngInfo()
    for number in range(2000):
        info.add_text("Software", f"tool {number}")
    assert len(read(write, encode("PNG", pnginfo=info))) == 40


BOMB = zlib.compress(bytes(100_000_000), 9)
ENTITIES = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><x>&b;</x>"
AVIF = box(b"ftyp", b"avif\0\0\0\0")
MANY_ITEMS = b"\2\0\0\0\0\0" + struct.pack(">I", 2**32 - 1) + b"\xff" * 300_000
BLANKS = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x>" + b" " * 1_990_000)
HOSTILE = {
    "many packets that inflate": encode("PNG")[:33] + chunk(b"iTXt", BLANKS) * 3000,
    "text that inflates": png_with(b"zTXt", b"parameters\0\0" + BOMB),
    "entities": jpeg_xmp(ENTITIES),
    "deep XMP": jpeg_xmp(b"<x>" * 10_000),
    "an unknown encoding": jpeg_xmp(b'<?xml version="1.0" encoding="klingon"?><x/>'),
    "deep JSON": png(parameters='{"a":' * 100_000),
    "a long number": png(parameters='{"seed": ' + "9" * 100_000 + "}"),
    "directories in a circle": b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x8769, 4, 1, 8),
    "a value outside": b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 271, 2, 9, 9999),
    "a box shorter than its header": AVIF + struct.pack(">I4s", 7, b"meta"),
    "more items than bytes": AVIF
    + box(b"meta", bytes(4) + box(b"iinf", bytes(6)) + box(b"iloc", MANY_ITEMS)),
    "a chunk of four gigabytes": encode("PNG")[:33] + struct.pack(">I4s", 2**32 - 1, b"tEXt"),
    "a manifest that is none": png_with(b"caBX", b"\0\0\0\x10jumbjunk"),
    "a manifest cut off": png_with(b"caBX", jumbf()[:9]),
}


# These are text of another kind, or have no metadata.
SILENT = {"directories in a circle", "deep JSON", "a long number", "more items than bytes"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_is_bounded(name, write):
    path = write(HOSTILE[name])
    tracemalloc.start()
    start = time.process_time()
    found = read_provenance(path).findings
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {one.kind for one in found} == (set() if name in SILENT else {"damaged metadata"})
    assert seconds < 5
    assert peak < 50e6


@pytest.mark.parametrize("name", [*FILES, *MANIFESTS])
def test_damage_raises_nothing_else(name, write):
    data = FILES[name][0] if name in FILES else MANIFESTS[name]
    random_state = random.Random(name)
    changed = [data[:end] for end in random_state.sample(range(len(data)), 30)]
    for n_bytes in [1] * 30 + [4] * 20 + [30] * 10:
        flipped = bytearray(data)
        for place in random_state.sample(range(len(data)), n_bytes):
            flipped[place] = random_state.choice([0, 1, 8, 127, 255])
        changed.append(bytes(flipped))
    for one in changed:
        try:
            lines = read_provenance(write(one)).lines()
        except ImageReadError:  # what is left is not the beginning of an image
            continue
        assert all(line.isprintable() for line in lines)


def test_unreadable_files_are_image_read_errors(tmp_path, write):
    os.mkfifo(tmp_path / "pipe")
    paths = [tmp_path / "none.png", tmp_path, tmp_path / "pipe", write(b""), write(b"text", "b")]
    for path in paths:
        with pytest.raises(ImageReadError):
            read_provenance(path)


def test_anchors_without_certificates_are_an_error(write):
    path = write(encode("PNG"))
    with pytest.raises(ValueError, match="has no certificates"):
        read_provenance(path, trust_anchors=path)


def test_evaluation_images_claim_what_they_are(manifest_rows):
    rows = [row for row in manifest_rows if row["label"] == "1"][::10]
    rows += [row for row in manifest_rows if row["source"] in {"carpentries", "ianare"}]
    found = {
        (row["label"], one.says) for row in rows for one in read_provenance(row["path"]).findings
    }
    assert ("0", "camera") in found
    assert not found & {("0", "generated"), ("1", "camera")}
