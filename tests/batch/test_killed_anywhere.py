"""kill -9 before and after each write, sync, rename, link and removal that a render makes, in whichever thread it is."""

import random
import signal

import pytest

from faulted import Fault
from latentpress.files import TEMP_PREFIX

IN_FAST, IN_FULL = 50, 1000
SEED = 13


def killed(eight, folder, fault, what=None):
    """Render into `folder` until `fault`; returns whether it was reached. What is there then is whole."""
    run = eight.render(folder, fault=fault)
    assert run.code in (0, -signal.SIGKILL), (fault, run.err)
    eight.check_nothing_is_torn(folder, what or fault)
    return run.code != 0


def check(eight, faults):
    """Each of `faults` kills a run of its own, and a resume makes it whole."""
    for fault in faults:
        folder = eight.folder()
        assert killed(eight, folder, fault), f"{fault} was not reached"
        eight.check_resume(folder, eight.check_nothing_is_torn(folder, fault), fault)


def chain(eight, choose, longest):
    """Runs into one folder, each killed at a random site, until one ends; returns how many were killed."""
    folder, kills = eight.folder(), 0
    while killed(eight, folder, fault := Fault(choose.randint(1, longest), choose.choice(ACTIONS)), f"{kills} kills"):
        kills += 1
        assert kills < 500, "runs that are killed come no further"
    eight.check_resume(folder, eight.check_nothing_is_torn(folder, fault), f"after {kills} kills")
    return kills


ACTIONS = ("kill before", "kill after", "torn")


def test_fifty_kills_over_all_sites_lose_nothing(eight):
    places = [1 + number * (eight.sites - 1) // (IN_FAST - 1) for number in range(IN_FAST)]
    check(eight, [Fault(place, ACTIONS[number % 3]) for number, place in enumerate(places)])


def test_many_kills_in_one_folder_lose_nothing(eight):
    assert chain(eight, random.Random(SEED), 130) >= 5


@pytest.mark.full
def test_a_thousand_kills_lose_nothing(eight):
    writes = sum(site.startswith("write ") for site in eight.whole.sites)
    everywhere = [Fault(place, action) for place in range(1, eight.sites + 1) for action in ACTIONS[:2]]
    torn = [Fault(place, "torn", kinds=("write",)) for place in range(1, writes + 1)]
    check(eight, everywhere + torn)
    kills, choose = len(everywhere) + len(torn), random.Random(SEED)
    while kills < IN_FULL:
        kills += chain(eight, choose, eight.sites)


def test_a_row_is_committed_after_its_picture_is_on_the_disk(eight):
    """What a power cut could part, in the order of the calls: a file's bytes, its name, its folder, the ledger's commit."""
    calls = [site.split(" ", 1) for site in eight.whole.sites]
    folders = {f"/{name.partition('/')[0]}" for name in eight.tree if "/" in name}
    assert len(folders) == 3
    synced = named = in_folders = committed = 0
    before = next(place for place, (_, path) in enumerate(calls) if TEMP_PREFIX in path)
    for place, (kind, path) in enumerate(calls):
        synced += kind == "sync" and TEMP_PREFIX in path
        named += kind in ("rename", "link") and path.endswith(".png")
        in_folders += kind == "syncdir" and path in folders
        committed += place > before and kind == "unlink" and path.endswith(".sqlite-journal")
        assert named <= synced, place
        if in_folders < len(eight.ledger):  # then comes the sheet
            assert committed <= in_folders <= named, place
        if kind == "mkdir":
            first = next((at for at in range(place, len(calls)) if calls[at][1].startswith(f"{path}/")), len(calls))
            parent = path.rpartition("/")[0]
            assert not path or ["syncdir", parent] in calls[place:first], f"{path} may be lost with what is in it"
    assert named == len(eight.tree)
    assert committed >= in_folders == len(eight.ledger)
