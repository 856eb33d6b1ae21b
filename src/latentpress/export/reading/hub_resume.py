"""Brings a large file of a hub's repository into the Hugging Face cache; one that was interrupted goes on where it broke.

huggingface_hub begins such a file anew from 1.18 on, where each process writes a file of its own and deletes it, and
through hf_xet in every version. Here its own `http_get` writes HASH.incomplete, as its versions before did, and the whole
file is laid among the blobs of the cache under its sha256, where its downloads find it. Does not say what is wanted.
"""

import re
from pathlib import Path

from latentpress.bundle.info import file_sha256
from latentpress.errors import CheckpointError

# What http_get writes at a time: of a smaller file it keeps nothing.
_CHUNK = 10 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def bring_blob(folder: Path, repository: str, commit: str, file: str) -> None:
    """Download `file` of `repository` at `commit` into blobs/SHA256 of the repository's folder in the cache.

    Does nothing for a file that is there, that is small, or that the hub names no sha256 of (it has none for what it does
    not keep as a large file). Raises what huggingface_hub raises, and CheckpointError for other content than the hub names.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import (
        WeakFileLock,  # pyright: ignore[reportPrivateImportUsage], documented
        build_hf_headers,  # pyright: ignore[reportPrivateImportUsage], documented
    )

    url = hf_hub_url(repository, file, revision=commit)
    found = get_hf_file_metadata(url)
    digest, size = found.etag or "", found.size or 0
    if size < _CHUNK or _SHA256.fullmatch(digest) is None:
        return
    blob = folder / "blobs" / digest
    lock = folder.parent / ".locks" / folder.name / f"{digest}.lock"  # huggingface_hub's own
    for path in (blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return
        part = blob.with_name(f"{digest}.incomplete")
        if part.exists() and part.stat().st_size > size:
            part.unlink()
        with part.open("ab") as into:
            http_get(
                url,
                into,
                resume_size=into.tell(),
                headers=build_hf_headers(),
                expected_size=size,
                displayed_filename=file,
            )
        if file_sha256(part) != digest:
            part.unlink()
            raise CheckpointError(
                f"{repository}:{file}: what was downloaded is not what the hub lists, its sha256 is another, and was "
                "deleted; try again"
            )
        part.rename(blob)
