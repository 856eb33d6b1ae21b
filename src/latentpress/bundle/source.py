"""What a bundle was exported from, as one hash: two exports of one checkpoint have the same, whatever their precision."""

import hashlib
import json
from collections.abc import Iterable


def exported_from(
    source_sha256: str,
    loras: Iterable[tuple[str, float]] = (),
    vae: str | None = None,
    base: str | None = None,
) -> str:
    """Lowercase hex sha256 of a checkpoint's sha256, its LoRAs' (sha256, scale), and the sha256 of a VAE and a base."""
    data = [source_sha256, [[sha256, float(scale)] for sha256, scale in loras], vae, base]
    return hashlib.sha256(json.dumps(data, separators=(",", ":")).encode()).hexdigest()
