"""The table of fields, and what follows from it: requests that survive JSON, and hashes of just what they should hold."""

import hashlib
import json
from collections import Counter
from dataclasses import MISSING, fields, replace
from pathlib import Path

import pytest

from latentpress.batch.job import JobHash, hash_job, request_data, request_from, stored
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


@pytest.mark.parametrize("rules", [(), (Rule("masks", 2, touched), Rule("losses", 3, touched))])
def test_what_is_written_once_hashes_as_the_whole_text(rules, facts) -> None:
    facts = replace(facts, rules=lambda request: rules)
    for request in (EVERYTHING, PLAIN):
        hashes = JobHash(request_data(request), facts.hash, numbers(rules))
        for seed in (0, 7, 2**63 - 1, 2**64 - 1):
            data = {"bundle": facts.hash, "request": request_data(replace(request, seed=seed))}
            if rules:
                data["rules"] = {"losses": 3, "masks": 2}
            text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert hashes.of(seed) == hashlib.sha256(text.encode()).hexdigest()
            assert hash_job(replace(request, seed=seed), facts) == hashes.of(seed)


def test_where_a_picture_lies_is_no_part_of_its_job(facts) -> None:
    moved = replace(EVERYTHING, init_image=ImageFile("a" * 64, Path("elsewhere.png")))
    assert hash_job(moved, facts) == hash_job(EVERYTHING, facts)
    assert "elsewhere" not in json.dumps(request_data(moved))
