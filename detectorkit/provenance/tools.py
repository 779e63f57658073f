"""The programs, services and cameras that are known, by what they write into a file.

The expressions are searched for in the first characters of a text, whatever its case.
"""

from __future__ import annotations

from typing import Final

from detectorkit.provenance.findings import Says

__all__ = [
    "CAMERA_MAKERS",
    "EDITORS",
    "GENERATORS",
    "SETTINGS_KEYWORDS",
    "SOFTWARE_FIELDS",
    "SOURCE_TYPES",
]

SOFTWARE_FIELDS: Final = {
    "AISystemUsed", "Artist", "Author", "Byline", "Comment", "CreatorTool", "Credit", "Make",
    "Model", "OriginatingProgram", "Software", "Source", "Title", "XPTitle", "creator",
    "softwareAgent",
}  # fmt: skip
"""Fields in which the name of a program may stand."""

GENERATORS: Final = {
    "Adobe Firefly": r"\bfirefly\b",
    "Apple Image Playground": r"\bimage playground\b",
    "AUTOMATIC1111": r"automatic1111|stable[ -]diffusion[ -]web ?ui",
    "Black Forest Labs FLUX": r"black forest labs|\bflux[.\d]|;flux\b",
    "Canva Magic Media": r"\bmagic media\b",
    "ComfyUI": r"\bcomfyui\b",
    "DALL-E": r"\bdall[-·. ]?e\b",
    "Draw Things": r"\bdraw things\b",
    "DreamStudio": r"\bdreamstudio\b",
    "Easy Diffusion": r"\beasy diffusion\b",
    "Fooocus": r"\bfooocus\b",
    "Google AI": r"\b(made|created|generated) with google ai\b|\b(imagen|gemini)\b|nano banana",
    "Grok": r"\bgrok\b|\bxai\b",
    "Ideogram": r"\bideogram\b",
    "InvokeAI": r"\binvoke ?ai\b",
    "Leonardo.Ai": r"\bleonardo\.ai\b",
    "Meta AI": r"\b(meta ai|imagined with ai)\b",
    "Microsoft Designer": r"\b(bing image creator|microsoft designer)\b",
    "Midjourney": r"\bmidjourney\b",
    "NovelAI": r"\bnovelai\b",
    "OpenAI": r"\b(openai|chatgpt|gpt-image|gpt-4o|sora)\b",
    "Recraft": r"\brecraft\b",
    "Runway": r"\brunwayml\b",
    "SD.Next": r"\bsd\.next\b",
    "Seedream": r"\bseedream\b",
    "Stability AI": r"\bstability ?ai\b",
    "Stable Diffusion": r"\b(stable ?diffusion|sdxl)\b",
    "SwarmUI": r"\b(stable)?swarmui\b",
    "a generator": r"\b(ai|ki)[- ]generated\b|\bgenerated (by|with) ai\b",
}

EDITORS: Final = {
    "Google AI (edit)": r"\bedited with google ai\b",
    "Adobe Lightroom": r"\blightroom\b",
    "Adobe Photoshop": r"\bphotoshop\b",
    "Affinity Photo": r"\baffinity\b",
    "Canva": r"\bcanva\b",
    "Capture One": r"\bcapture one\b",
    "darktable": r"\bdarktable\b",
    "DxO": r"\bdxo\b",
    "Facetune": r"\bfacetune\b",
    "GIMP": r"\bgimp\b",
    "Krita": r"\bkrita\b",
    "Luminar": r"\bluminar\b",
    "Meitu": r"\bmeitu\b",
    "Paint Shop Pro": r"\bpaint shop pro\b",
    "paint.net": r"\bpaint\.net\b",
    "Picasa": r"\bpicasa\b",
    "PicsArt": r"\bpicsart\b",
    "Pixelmator": r"\bpixelmator\b",
    "RawTherapee": r"\brawtherapee\b",
    "Snapseed": r"\bsnapseed\b",
    "Topaz": r"\b(topaz|gigapixel)\b",
}

CAMERA_MAKERS: Final = (
    r"\b(acer|agfa|apple|asus|blackberry|canon|casio|dji|eastman|epson|fuji|fujifilm|gopro|google"
    r"|hasselblad|hewlett|honor|hp|htc|huawei|insta360|jenoptik|kodak|konica|leaf|leica|lenovo|lg"
    r"|lge|mamiya|medion|minolta|motorola|nikon|nokia|nothing|olympus|om digital|oneplus|oppo"
    r"|panasonic|parrot|pentax|phase one|polaroid|realme|research in motion|ricoh|samsung|sanyo"
    r"|seiko|sharp|sigma|skydio|sony|sony ?ericsson|toshiba|vivitar|vivo|xiaomi|yuneec|zte)\b"
)
"""Makers of cameras, phones and scanners, as they stand in the EXIF field "Make"."""

SETTINGS_KEYWORDS: Final = {
    "Dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
    "invokeai_graph": "InvokeAI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_workflow": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "use_stable_diffusion_model": "Easy Diffusion",
}
"""Keywords of PNG texts that only one program writes."""

SOURCE_TYPES: Final[dict[str, tuple[Says, str]]] = {
    "trainedAlgorithmicMedia": ("generated", "made by a trained model"),
    "compositeWithTrainedAlgorithmicMedia": ("edited", "partly made by a trained model"),
    "compositeSynthetic": ("edited", "composite with synthetic elements"),
    "algorithmicallyEnhanced": ("edited", "enhanced by an algorithm"),
    "composite": ("edited", "composite"),
    "compositeCapture": ("edited", "composite of captured pictures"),
    "humanEdits": ("edited", "edited by a person"),
    "minorHumanEdits": ("edited", "minor edits by a person"),
    "digitalCapture": ("camera", "captured by a camera"),
    "computationalCapture": ("camera", "captured by a camera, computed from several frames"),
    "negativeFilm": ("camera", "digitised from negative film"),
    "positiveFilm": ("camera", "digitised from positive film"),
    "print": ("camera", "digitised from a print"),
    "algorithmicMedia": ("unknown", "made by an algorithm that was not trained"),
    "dataDrivenMedia": ("unknown", "drawn from data"),
    "digitalArt": ("unknown", "drawn with software"),
    "digitalCreation": ("unknown", "drawn with software"),
    "screenCapture": ("unknown", "captured from a screen"),
    "softwareImage": ("unknown", "made by software"),
    "virtualRecording": ("unknown", "recorded in a virtual world"),
}
"""Digital source types of the IPTC, by the last part of their address."""
