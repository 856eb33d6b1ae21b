"""What a picture says of how it was made, as data that can be passed on. It is a claim, and nothing of it is proved."""

import json
from pathlib import Path
from typing import Any

from latentpress.batch.pictures.chunks import claim_of, read_claim


def provenance(source: Path | bytes) -> dict[str, Any] | None:
    """The `latentpress` text of the picture at a path, or with this content; None where it has none that makes sense.

    Of what is returned, `job_hash` is text, `request` and `bundle` are dicts, and JSON can hold all of it. Never raises.
    """
    claim = read_claim(source) if isinstance(source, Path) else claim_of(source)
    if claim is None:
        return None
    try:  # Python reads NaN, and halves of surrogate pairs, which nobody else does
        json.dumps(claim.data, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return claim.data
