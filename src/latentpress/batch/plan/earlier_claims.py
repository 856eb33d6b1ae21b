"""By what a picture of an earlier release is known: its request, and what its bundles were exported from; as one hash."""

import hashlib
from collections.abc import Mapping
from typing import Any

from latentpress.batch.plan.identity import hashed_data
from latentpress.batch.plan.job import canonical_json
from latentpress.bundle.source import exported_from


def request_key(request: Mapping[str, Any], source: str, refiner: str | None) -> str:
    """The key of a request's `hashed_data` on a bundle and a refiner exported from these."""
    return hashlib.sha256(canonical_json([request, source, refiner]).encode()).hexdigest()


def unseeded_key(request: Mapping[str, Any], source: str, refiner: str | None) -> str:
    """As `request_key`, the same for every seed."""
    return request_key({**request, "seed": None}, source, refiner)


def keys_of_claim(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The `request_key` and the `unseeded_key` of what a picture says of itself; None where it does not make sense."""
    try:
        refiner = data.get("refiner")
        own = hashed_data(data["request"]), source_of(data["bundle"]), source_of(refiner) if refiner else None
        return request_key(*own), unseeded_key(*own)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def source_of(bundle: Mapping[str, Any]) -> str:
    """What a picture says that its bundle was exported from, as one hash."""
    loras = [(lora["sha256"], lora["scale"]) for lora in bundle.get("loras", [])]
    vae, base = (bundle[name]["sha256"] if name in bundle else None for name in ("vae", "base"))
    return exported_from(bundle["source_sha256"], loras, vae, base)
