"""Sorts the jobs of a plan into their states, by what the plan's table sees of the ledger, and by the files themselves."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from latentpress.batch.ledger.owners import Owners
from latentpress.batch.pictures.chunks import claim_of, kept_pixels, proved
from latentpress.batch.pictures.encode import same_format
from latentpress.batch.pictures.guided import guided_claimed
from latentpress.batch.pictures.intact import MAX_BYTES, Found, Look, look
from latentpress.batch.plan.identity import JobHash, hashed_data, identity_of
from latentpress.batch.plan.job import request_data
from latentpress.batch.plan.plan import Plan
from latentpress.batch.state.recognised import EarlierPictures
from latentpress.batch.state.status import DONE, EARLIER, FAILED, FOUND, MISSING, OTHER, STATES, Adopted, Make, Status
from latentpress.batch.state.unchanged import blocks
from latentpress.engines.strict import ANY_ROWS
from latentpress.files import read_regular
from latentpress.runtime.rules import earlier, numbers

_JOBS = (
    "SELECT job, jobs.output, jobs.job_hash, earlier, bundle, rules, drafts.contents, images.output, "
    "images.job_hash, status, file_sha256, file_size, stamp, provider, coalesce(row_rule, 'untested'), identity, "
    "images.contents, plan_hash FROM jobs JOIN drafts USING (draft) LEFT JOIN images ON images.output=jobs.output "
    "WHERE job BETWEEN ? AND ? ORDER BY job"
)


@dataclass(frozen=True)
class _Wanted:
    """A job as its row has it."""

    index: int
    output: str
    job_hash: str
    earlier: Sequence[str]
    bundle: str
    rules: Sequence[str]
    contents: str

    def state_of(self, job_hash: str) -> str | None:
        """DONE or EARLIER for a picture that is this job's, None for another's."""
        if job_hash == self.job_hash:
            return DONE
        return EARLIER if job_hash in self.earlier else None


@dataclass(frozen=True)
class _Row:
    """What the ledger knows of a name."""

    output: str
    job_hash: str
    status: str
    sha256: str | None
    size: int | None
    stamp: str | None
    provider: str
    row_rule: str
    identity: int
    contents: str | None
    plan_hash: str


def plan_status(plan: Plan, folder: Path, *, manifest: str = "", redraw: bool = False) -> Status:
    """The state of each job of `plan`, whose pictures belong in `folder`.

    manifest: the plan's manifest as the ledger has it (owners.py). redraw: what an earlier rule or another export drew is
    missing. A picture is done if the ledger says so of this very job and its file is what was written.
    """
    return _Sorting(plan, folder, Owners(plan, folder, manifest), redraw).status()


class _Sorting:
    """One pass over the jobs of a plan."""

    def __init__(self, plan: Plan, folder: Path, owners: Owners, redraw: bool) -> None:
        self._plan, self._folder, self._owners, self._redraw = plan, folder, owners, redraw
        self._states = bytearray()
        self._made: Counter[Make] = Counter()
        self._rules: Counter[str] = Counter()
        self._exports: Counter[str] = Counter()
        self._sources: dict[int, str] = {}
        self._replaced: dict[int, str] = {}
        self._taken: dict[int, str] = {}
        self._recognised: dict[str, tuple[int, str]] = {}
        self._adopted: dict[int, Adopted] = {}
        self._stamps: list[tuple[str, str]] = []
        self._earlier = EarlierPictures(plan.table, folder)

    def status(self) -> Status:
        """Sort them all."""
        missing = STATES.index(MISSING)
        for count, absent, others, made in blocks(self._plan, self._folder):
            before = len(self._states)
            self._states += (
                bytes((missing if len(absent) == count else 0,)) * count
            )  # 0 is DONE, unless found otherwise
            for job in absent if len(absent) < count else ():
                self._states[job - 1] = missing
            if absent and self._any_finished:
                elsewhere = set(self._perhaps_elsewhere(before, before + count)).intersection(absent)
                others = sorted([*others, *elsewhere])
            self._made.update({Make(*one): pictures for one, pictures in made.items()})
            left = set(others)
            rows = self._plan.table.answers(_JOBS, (others[0], others[-1])) if others else ()
            for row in (row for row in rows if row[0] in left):
                wanted = _Wanted(row[0], row[1], row[2], (row[3] or "").split(), row[4], row[5].split(), row[6])
                state = self._sort(wanted, _Row(*row[7:]) if row[7] is not None else None)
                if state in (FAILED, MISSING) and self._take(wanted):
                    state = FOUND
                self._states[row[0] - 1] = STATES.index(state)
        recognised = [(output, index, job_hash) for output, (index, job_hash) in self._recognised.items()]
        return Status(
            *(self._plan, bytes(self._states), self._made, self._rules, self._exports, self._sources),
            *(self._replaced, self._taken, recognised, self._adopted, self._stamps),
        )

    def _sort(self, wanted: _Wanted, row: _Row | None) -> str:
        """The state of one job by what lies under its own name."""
        written = row if row is not None and row.status == DONE else None
        path = f"{self._folder}/{wanted.output}"
        seen = look(path, written.sha256, written.size, written.stamp) if written else look(path)
        if seen.found is Found.NOTHING:
            failed = row is not None and row.status == FAILED and row.job_hash == wanted.job_hash
            return FAILED if failed else MISSING
        if written is not None and seen.found is Found.WHOLE:
            if seen.sha256:
                self._stamps.append((wanted.output, seen.stamp))
            return self._whole(wanted, written, seen)
        if written is not None and seen.found is Found.TORN:
            self._replaced[wanted.index] = seen.stamp
            return MISSING
        return self._stranger(wanted, row, seen)

    def _whole(self, wanted: _Wanted, row: _Row, seen: Look) -> str:
        """The state of a job under whose name lies what the ledger wrote there, for this job or another."""
        state = self._relation(wanted, row)
        if state == DONE or (state is not None and not self._redraw):
            self._count(wanted, state, row.provider, row.row_rule)
            if state == OTHER:
                self._exports[row.contents or ""] += 1
            return state
        if state is None and (owner := self._owners.other(row.plan_hash)):
            self._taken[wanted.index] = f"was rendered for {owner}"
        else:
            self._replaced[wanted.index] = seen.stamp
        return MISSING

    def _relation(self, wanted: _Wanted, row: _Row) -> str | None:
        """DONE, EARLIER or OTHER where the row's picture is this job's; None for another job's."""
        if (state := wanted.state_of(row.job_hash)) is not None:
            if row.identity == 1:  # of a picture of today's, in a ledger that was of an earlier version
                self._recognised.setdefault(row.output, (wanted.index, row.job_hash))
            return state
        if row.identity == 1:
            return self._recognise(wanted, row.output)
        if not row.contents or not self._same_sources(row.contents, wanted.contents):
            return None
        # The same job on the graphs that the picture was made on?
        job = self._plan.jobs[wanted.index - 1]
        facts = self._plan.facts(job.bundle)
        identity = identity_of(job.request, facts, self._plan.bundles).on(row.contents)
        data, rules = hashed_data(request_data(job.request)), facts.rules(job.request)
        hashes = [JobHash(data, identity, known).of(job.request.seed) for known in (numbers(rules), *earlier(rules))]
        return OTHER if row.job_hash in hashes else None

    def _same_sources(self, one: str, other: str) -> bool:
        """Whether bundles with these contents are different exports of the same."""
        sources = [[self._bundles.get(content) for content in contents.split()] for contents in (one, other)]
        return one != other and sources[0] == sources[1] and all(sources[0])

    @cached_property
    def _bundles(self) -> Mapping[str, str]:
        """Content -> source, of the bundles that the ledger knows and those of the plan."""
        known = dict(self._plan.table.answers("SELECT content, source FROM bundles"))
        return known | {facts.content: facts.source for facts in self._plan.bundles.values()}

    def _recognise(self, wanted: _Wanted, output: str) -> str | None:
        """As `_relation`, of a picture of an earlier ledger."""
        for found, rules in self._earlier.of(self._plan.jobs[wanted.index - 1], self._plan):
            if found == output:
                hashes = [*wanted.earlier, wanted.job_hash]
                self._recognised.setdefault(output, (wanted.index, hashes[rules]))
                return DONE if rules == len(wanted.earlier) else EARLIER
        return None

    def _stranger(self, wanted: _Wanted, row: _Row | None, seen: Look) -> str:
        """The state of a job under whose name lies what no row tells of."""
        if seen.found is Found.NO_FILE:
            self._taken[wanted.index] = seen.why
            return MISSING
        path = self._folder / wanted.output
        content = read_regular(path, MAX_BYTES)
        claim = claim_of(content)
        # The same job with other bytes was saved again by another program; another job's row was left by a kill.
        saved_again = row is not None and row.status == DONE and claim is not None and row.job_hash == claim.job_hash
        unrecorded = claim is not None and claim.identity > 1 and not saved_again
        if claim is not None and unrecorded and (state := wanted.state_of(claim.job_hash)):
            pixels = proved(content, claim)
            if pixels is not None and not (self._redraw and state == EARLIER):
                engine, rows = str(claim.data.get("engine", "")), str(claim.data.get("rows", ANY_ROWS))
                file = (seen.sha256 or "", pixels, len(content), seen.stamp)
                guided = guided_claimed(claim.data.get("guided"))
                self._adopted[wanted.index] = Adopted(claim.job_hash, *file, engine, rows, guided)
                self._count(wanted, state, engine, rows)
                return state
        if seen.sha256 in self._contents:
            # Of this ledger, under another of its names: nothing is lost when it is moved.
            self._replaced[wanted.index] = seen.stamp
        elif row is not None and row.status == DONE:
            self._taken[wanted.index] = "was changed since it was rendered"
        else:
            self._taken[wanted.index] = "is no picture of this folder's ledger"
        return MISSING

    @cached_property
    def _contents(self) -> frozenset[str]:
        """The hashes of all files that the ledger wrote."""
        return frozenset(
            sha256 for (sha256,) in self._plan.table.answers("SELECT file_sha256 FROM images WHERE status='done'")
        )

    def _count(self, wanted: _Wanted, state: str, provider: str, row_rule: str) -> None:
        self._rules.update(wanted.rules if state == EARLIER else ())
        self._made[Make(wanted.bundle, provider, row_rule)] += 1

    @cached_property
    def _any_finished(self) -> bool:
        return self._plan.table.one("SELECT 1 FROM images WHERE status='done' LIMIT 1") is not None

    def _take(self, wanted: _Wanted) -> bool:
        """Whether the job's picture lies finished under another name; noted where it does."""
        if wanted.index in self._taken:
            return False
        if not self._any_finished:
            return False
        for output in self._candidates(wanted):
            if output == wanted.output:
                continue
            row = self._plan.table.one(
                "SELECT file_sha256, file_size, stamp, provider, coalesce(row_rule, 'untested'), job_hash FROM images "
                "WHERE output=?",
                (output,),
            )
            if not same_format(PurePath(output), PurePath(wanted.output)) and (
                row[5] != wanted.job_hash or not self._keeps_pixels(output)
            ):
                continue
            seen = look(f"{self._folder}/{output}", *row[:3])
            if seen.found is Found.WHOLE:
                self._sources[wanted.index] = output
                self._made[Make(wanted.bundle, row[3], row[4])] += 1
                return True
        return False

    def _keeps_pixels(self, output: str) -> bool:
        """Whether a picture's file has the very pixels, so that another format can be made of it."""
        try:
            return kept_pixels(read_regular(self._folder / output, MAX_BYTES)) is not None
        except OSError:
            return False

    def _perhaps_elsewhere(self, after: int, last: int) -> Iterable[int]:
        """Of these jobs those whose picture may lie under another name; all, where only the pictures themselves tell."""
        if self._earlier:
            return range(after + 1, last + 1)
        query = (
            "SELECT job FROM jobs WHERE job > ? AND job <= ? AND (earlier IS NOT NULL OR EXISTS (SELECT 1 FROM images WHERE "
            "images.job_hash=jobs.job_hash AND status='done'))"
        )
        return self._plan.table.numbers(query, (after, last))

    def _candidates(self, wanted: _Wanted) -> Iterator[str]:
        query = "SELECT output FROM images WHERE job_hash=? AND status='done' AND identity > 1 ORDER BY output"
        yield from (output for (output,) in self._plan.table.answers(query, (wanted.job_hash,)))
        for job_hash in () if self._redraw else reversed(wanted.earlier):
            # Of a picture that the plan still has by that name, a twin, the rule of now draws the other.
            query = (
                "SELECT output FROM images WHERE job_hash=? AND status='done' AND identity > 1 "
                "AND output NOT IN (SELECT output FROM jobs) ORDER BY output"
            )
            yield from (output for (output,) in self._plan.table.answers(query, (job_hash,)))
        if self._earlier:
            job = self._plan.jobs[wanted.index - 1]
            for output, rules in self._earlier.of(job, self._plan):
                if rules == len(wanted.earlier) or not self._redraw:
                    self._recognised.setdefault(output, (wanted.index, [*wanted.earlier, wanted.job_hash][rules]))
                    yield output
