"""The table of fields, and what follows from it: requests that survive JSON, and hashes of just what they should hold."""

import hashlib
import json
from collections import Counter
from dataclasses import MISSING, fields, replace
from pathlib import Path

import pytest

from latentpress.batch.plan.identity import Identity, JobHash, Model, hash_job, hashed_data
from latentpress.batch.plan.job import request_data, request_from, stored
from latentpress.manifest.fields import FIELDS, attributes_of
from latentpress.runtime.request import ImageFile, RenderRequest
from latentpress.runtime.rules import Rule, numbers
from requests_made import EVERYTHING

# What every job's hash has held since the first one. Nothing may ever be added or taken away.
ALWAYS = {"prompt", "negative_prompt", "seed", "size", "sampler", "steps", "guidance_scale", "loss"}
PLAIN = RenderRequest("a mouse", 0, 64, 64, "euler", 30, 7.5, "")


def test_each_attribute_of_a_request_is_decided_by_one_field() -> None:
    decided = Counter(attribute for name in FIELDS for attribute in attributes_of(name))
    assert decided == Counter({attribute.name: 1 for attribute in fields(RenderRequest)})


def test_a_field_that_came_later_has_a_default_to_be_left_out_at() -> None:
    assert {name for name, field in FIELDS.items() if field.since == 1} == ALWAYS
    later = {attribute for name in FIELDS.keys() - ALWAYS for attribute in attributes_of(name)}
    assert not [one.name for one in fields(RenderRequest) if one.name in later and one.default is MISSING]
    assert later.isdisjoint(request_data(PLAIN))


def touched(request, scene):
    return True


def test_a_request_survives_json_with_its_numbers_as_they_were() -> None:
    for request in (EVERYTHING, PLAIN):
        again = request_from(json.loads(json.dumps(stored(request, request_data(request)))))
        assert again == request
        assert again.init_image is None or again.init_image.path == Path("in/picture.png")
        assert json.dumps(request_data(again)) == json.dumps(request_data(request)), "100 stays 100, and 200.0 200.0"


IDENTITIES = (
    Identity(Model("c" * 64)),
    Identity(Model("c" * 64, {"<b>": "1" * 64, "<a>": "2" * 64}), Model("d" * 64, {"<ü>": "3" * 64})),
)


@pytest.mark.parametrize("rules", [(), (Rule("masks", 2, touched), Rule("losses", 3, touched))])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_what_is_written_once_hashes_as_the_whole_text(rules, identity) -> None:
    for request in (EVERYTHING, PLAIN):
        hashes = JobHash(hashed_data(request_data(request)), identity, numbers(rules))
        for seed in (0, 7, 2**63 - 1, 2**64 - 1, None):
            asked = request_data(replace(request, seed=seed))
            if asked.get("refiner") is not None:
                del asked["refiner"]["sha256"]
            data = {"bundle": "c" * 64, "request": asked}
            if identity.refiner:
                data |= {"concepts": {"<a>": "2" * 64, "<b>": "1" * 64}}
                data |= {"refiner": {"bundle": "d" * 64, "concepts": {"<ü>": "3" * 64}}}
            if rules:
                data["rules"] = {"losses": 3, "masks": 2}
            text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            expected = hashlib.sha256(text.encode()).hexdigest()
            assert (hashes.unseeded if seed is None else hashes.of(seed)) == expected


def test_where_a_picture_lies_is_no_part_of_its_job(facts) -> None:
    refiner = replace(facts, hash=EVERYTHING.refiner.sha256, content="f" * 64)
    moved = replace(EVERYTHING, init_image=ImageFile("a" * 64, Path("elsewhere.png")))
    bundles = {"demo": facts, "refiner": refiner}
    assert hash_job(moved, facts, bundles) == hash_job(EVERYTHING, facts, bundles)
    assert "elsewhere" not in json.dumps(request_data(moved))


def test_of_concepts_a_job_holds_those_of_its_own_prompts(facts) -> None:
    """Another one, or another file of the same vectors, is nothing to it; other vectors are."""
    request = replace(PLAIN, prompt="a mouse in the style of <line-art>")
    first = hash_job(request, facts)
    other = {**facts.vectors, "<moeb-style>": "9" * 64, "<more>": "8" * 64}
    changed = replace(facts, vectors=other, concepts={**facts.concepts, "<line-art>": "7" * 64}, hash="0" * 64)
    assert hash_job(request, changed) == first
    assert hash_job(request, replace(facts, vectors={**facts.vectors, "<line-art>": "9" * 64})) != first
    assert hash_job(replace(request, negative_prompt="<moeb-style>"), changed) != hash_job(
        replace(request, negative_prompt="<moeb-style>"), facts
    )
