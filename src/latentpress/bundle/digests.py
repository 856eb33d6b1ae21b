"""Hashes of things that are not files: lists of pieces, and data as JSON in one form."""

import hashlib
import json


def digest(*pieces: bytes | str | int) -> bytes:
    """sha256 of `pieces`, each with its length, so that no two lists of pieces are one text."""
    found = hashlib.sha256()
    for piece in pieces:
        data = piece if isinstance(piece, bytes) else str(piece).encode()
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()


def json_sha256(data: object) -> str:
    """Lowercase hex sha256 of `data` as JSON: keys in order, no spaces, UTF-8; raises ValueError for NaN."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
