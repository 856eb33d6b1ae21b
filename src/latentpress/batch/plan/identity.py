"""What a picture is: the hash of everything that decides its pixels, and of nothing else.

That is the content of the graphs it is rendered on, the vectors of the concepts that its own prompts draw on, the request,
and the numbers of the rules that touch it (runtime/rules.py). Not where a bundle or a given picture lies, when and by
which versions the bundle was exported, nor what was measured on it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from latentpress.batch.plan.job import canonical_json, request_data
from latentpress.runtime.facts import BundleFacts, Bundles
from latentpress.runtime.prompt_rules import reading_of, texts_drawn
from latentpress.runtime.prompts.parts import PromptCheck, Reading
from latentpress.runtime.request import RenderRequest
from latentpress.runtime.rules import numbers

# How job hashes are made; 1 was with the hash of bundle.json in place of what is in the bundle.
VERSION = 2


@dataclass(frozen=True)
class Model:
    """A model as a picture depends on it: the bundle's content, and token -> sha256 of the concepts that are drawn on."""

    content: str
    concepts: Mapping[str, str] = field(default_factory=dict[str, str])

    def data(self) -> dict[str, Any]:
        """As JSON data; without concepts they are not written down."""
        return {"bundle": self.content} | ({"concepts": dict(self.concepts)} if self.concepts else {})


@dataclass(frozen=True)
class Identity:
    """What decides a request's pixels beside the request and its rules: its bundle, and its refiner's if it has one."""

    model: Model
    refiner: Model | None = None

    @property
    def contents(self) -> str:
        """The contents of the bundles, the refiner's second, separated by a space."""
        return self.model.content + (f" {self.refiner.content}" if self.refiner else "")

    def on(self, contents: str) -> "Identity":
        """The same on bundles with other `contents`."""
        content, _, refiner = contents.partition(" ")
        changed = replace(self.refiner, content=refiner) if self.refiner else None
        return Identity(replace(self.model, content=content), changed)

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return self.model.data() | ({"refiner": self.refiner.data()} if self.refiner else {})


Verdict = Callable[[BundleFacts, str, Reading], PromptCheck]


def identity_of(
    request: RenderRequest, facts: BundleFacts, bundles: Bundles, verdict: Verdict | None = None
) -> Identity:
    """The identity of `request` on the bundle of `facts`; its refiner is among `bundles`.

    verdict: what a bundle's tokenizer says of a prompt; by default it is asked where the prompt is more than plain words.
    """
    texts, reading = texts_drawn(request), reading_of(request)

    def concepts(one: BundleFacts, text: str) -> Iterable[str]:
        if verdict is not None:
            return verdict(one, text, reading).concepts
        found = one.plain(text, reading)
        return one.check(text, reading).concepts if found is None else found

    def model(one: BundleFacts) -> Model:
        used = {token for text in texts for token in concepts(one, text)}
        return Model(one.content, {token: one.vectors[token] for token in sorted(used)})

    refiner = request.refiner and facts_by_hash(bundles, request.refiner.sha256)
    return Identity(model(facts), model(refiner) if refiner else None)


def facts_by_hash(bundles: Bundles, bundle_hash: str) -> BundleFacts:
    """What is known of the bundle with this hash, which is among `bundles`."""
    return next(facts for facts in bundles.values() if facts.hash == bundle_hash)


def hashed_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of a request's `request_data` what is hashed: which bundle refines it is said by its content, not by its hash."""
    if data.get("refiner") is None:
        return dict(data)
    return {**data, "refiner": {key: value for key, value in data["refiner"].items() if key != "sha256"}}


class _Hash(Protocol):
    """One of hashlib's."""

    def copy(self) -> "_Hash": ...
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Seeded:
    """The hashes of one request with every seed: of a text that is written but for the seed.

    begun: the hash of what comes before the seed; tail: what comes after.
    """

    __slots__ = ("_begun", "_tail")

    def __init__(self, begun: "_Hash", tail: bytes) -> None:
        self._begun, self._tail = begun, tail

    def of(self, seed: int) -> str:
        """The hash of the job with `seed`."""
        digest = self._begun.copy()
        digest.update(b"%d%b" % (seed, self._tail))
        return digest.hexdigest()

    @property
    def unseeded(self) -> str:
        """What jobs have in common that differ in their seed alone: the hash with null in its place."""
        digest = self._begun.copy()
        digest.update(b"null" + self._tail)
        return digest.hexdigest()


class Prompted:
    """The hashes of requests that differ from `data`, the `hashed_data` of one, in their prompt and seed alone.

    A job's hash is the lowercase hex sha256 of the canonical JSON of its identity, its request and, where a rule touches
    it, their numbers.
    """

    def __init__(self, data: Mapping[str, Any], identity: Identity, rules: Mapping[str, int]) -> None:
        # The keys are sorted, so those before, between and after "prompt" and "seed" are three runs of the text.
        before, between, after = (
            canonical_json({key: value for key, value in data.items() if low < key < high})[1:-1]
            for low, high in (("", "prompt"), ("prompt", "seed"), ("seed", "\x7f"))
        )
        # Every key of an identity comes before "request".
        head = f'{canonical_json(identity.data())[:-1]},"request":{{{before}{"," if before else ""}"prompt":'
        self._head = hashlib.sha256(head.encode())
        self._between = f',{between}{"," if between else ""}"seed":'
        ruled = f',"rules":{canonical_json(rules)}' if rules else ""
        self._tail = f"{',' if after else ''}{after}}}{ruled}}}".encode()

    def of(self, prompt: str | None) -> Seeded:
        """The hashes with `prompt`."""
        begun = self._head.copy()
        begun.update((canonical_json(prompt) + self._between).encode())
        return Seeded(begun, self._tail)


class JobHash(Seeded):
    """The hashes of a request's `hashed_data` with every seed."""

    __slots__ = ()

    def __init__(self, data: Mapping[str, Any], identity: Identity, rules: Mapping[str, int]) -> None:
        one = Prompted(data, identity, rules).of(data.get("prompt"))
        super().__init__(one._begun, one._tail)


def job_hashes(request: RenderRequest, facts: BundleFacts, bundles: Bundles) -> JobHash:
    """The hashes of a request with every seed; its refiner is among `bundles`, if it has one."""
    identity = identity_of(request, facts, bundles)
    return JobHash(hashed_data(request_data(request)), identity, numbers(facts.rules(request)))


def hash_job(request: RenderRequest, facts: BundleFacts, bundles: Bundles | None = None) -> str:
    """The hash of one job; bundles: among which its refiner is, if it has one."""
    return job_hashes(request, facts, bundles or {}).of(request.seed)
