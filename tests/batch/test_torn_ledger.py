"""A ledger cut short, with flipped bits or foreign bytes: a sentence or an answer, and never a picture spoilt by it."""

import random
import shutil

import pytest
from PIL import Image

from eight import tree

SEED = 13


def cut(content, choose):
    return content[: choose.randrange(len(content))]


def flipped(content, choose):
    place = choose.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << choose.randrange(8)]) + content[place + 1 :]


def overwritten(content, choose):
    place, size = choose.randrange(len(content)), choose.choice((4, 64, 512))
    return (content[:place] + choose.randbytes(size) + content[place + size :])[: len(content)]


def pixels(path):
    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()


@pytest.mark.parametrize("number", [36, pytest.param(1200, marks=pytest.mark.full)], ids=["some", "many"])
def test_a_damaged_ledger_is_told_or_does_no_harm(eight, number):
    whole = eight.scratch / "whole"
    ledger = (whole / ".latentpress/ledger.sqlite").read_bytes()
    choose, refused = random.Random(SEED), 0
    for count in range(number):
        damaged = (cut, flipped, overwritten)[count % 3](ledger, choose)
        folder = eight.folder()
        shutil.copytree(whole, folder)
        (folder / ".latentpress/ledger.sqlite").write_bytes(damaged)
        for command in ("status", "render"):
            run = eight.runner.run(folder, command, eight.manifest, "-o", folder)
            assert run.code in (0, 2), (count, run.err)
            assert "Traceback" not in run.err, (count, run.err)
            if run.code:
                line = run.err.splitlines()[-1]
                # Or a hash in it no longer is the file's, which then counts as another's.
                told = (
                    "/.latentpress/ledger.sqlite: " in line
                    or "nothing is replaced that this folder's ledger did not" in line
                )
                assert line.startswith(f"error: {folder}"), line
                assert told, line
                refused += command == "render"
            # A flip in a drawn seed makes another picture beside the old ones. One in the hash of a file has it drawn
            # again, to the same pixels; of a twin, with what the file says of itself instead of its twin.
            found = tree(folder)
            for name, digest in eight.tree.items():
                assert found[name] == digest or pixels(folder / name) == pixels(whole / name), (count, name)
    assert number / 4 < refused < number, "some damage is found, and some lies where nothing is read"
