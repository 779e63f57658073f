"""What an image file says of itself: content credentials and metadata, read without decoding."""

from detectorkit.provenance.findings import Finding, Provenance
from detectorkit.provenance.reading import read_provenance

__all__ = ["Finding", "Provenance", "read_provenance"]
