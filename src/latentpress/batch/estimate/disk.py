"""The disk that pictures take: as many bytes a pixel as the folder's finished ones have, or at most raw RGB."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from latentpress.batch.estimate.loads import Loads
from latentpress.batch.plan.database import Database
from latentpress.errors import EnvironmentFailure, mebibytes

# Bytes of a picture's file beside its pixels: texts and checksums. Noise compresses to raw RGB.
_OVERHEAD, _RAW = 8192, 3
# Finished pictures that are enough to tell what others take, that are asked at most, and how much more is reckoned with,
# for pictures differ.
_ENOUGH, _ASKED, _MARGIN = 8, 5000, 1.25


@dataclass(frozen=True)
class Disk:
    """bytes: what the pictures take; bound: whether no picture can take more, or the finished ones tell; free: bytes."""

    bytes: int
    bound: bool
    free: int

    @property
    def words(self) -> str:
        """How much, in a few words."""
        return f"{'at most' if self.bound else 'about'} {mebibytes(self.bytes)}"


def disk_of(loads: Loads, table: Database, folder: Path) -> Disk:
    """What the pictures of `loads` take in `folder`; table: the plan's, which sees the ledger's finished pictures."""
    bound = loads.pixels * _RAW + loads.names * _OVERHEAD
    count, size, pixels = table.one(
        "SELECT count(*), total(size), total(pixels) FROM (SELECT file_size AS size, width * height AS pixels FROM images "
        "CROSS JOIN jobs ON jobs.job_hash=images.job_hash JOIN drafts USING (draft) WHERE status='done' LIMIT ?)",
        (_ASKED,),
    )
    told = round(loads.pixels * size / pixels * _MARGIN) if count >= _ENOUGH and pixels else bound
    return Disk(min(told, bound), told >= bound, shutil.disk_usage(_existing(folder)).free)


def check_disk(disk: Disk, folder: Path) -> None:
    """Raise EnvironmentFailure where the disk of `folder` cannot take the pictures."""
    if disk.bytes > disk.free:
        raise EnvironmentFailure(
            f"{folder}: the images take {disk.words} and {mebibytes(disk.free)} are free; free some space, choose "
            "another disk with -o, or go on with --any-space, which stops when the disk is full"
        )


def _existing(folder: Path) -> Path:
    """`folder`, or what will hold it."""
    return next(one for one in (folder, *folder.resolve().parents) if one.exists())
