r"""A1111's prompt editing: a prompt that changes between the UNet's calls. Knows nothing of tokens, weights or samplers.

[from:to:when] is `from` up to `when` and `to` after; [to:when] adds, [from::when] takes away; [a|b|c] changes at every call.
`when` with a point is a fraction of all calls (0.25), without one their number (5). All nest, brackets of weights may stand
within, and \[ \] \( \) \: \| are characters. What does not close is text; so is the whole prompt where a | stands outside.
Written from A1111's wiki ("Prompt editing", "Alternating Words") and the examples of its docstring
(get_learned_conditioning_prompt_schedules), which its calls are counted by as well: 1 is the first.
"""

import re
from dataclasses import dataclass

# The last call (counted from 1) that a text is for, and the text.
Schedule = tuple[tuple[int, str], ...]

_PLAIN = re.compile(r"(?:[^\\\[\]():|]|\\.)+")
_WHEN = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\]")


def schedule(prompt: str, calls: int) -> Schedule:
    """The texts that `prompt` is in a run of `calls` UNet calls, in order; one for all of them where nothing is edited."""
    if "[" not in prompt or not (":" in prompt or "|" in prompt):
        return ((calls, prompt),)
    nodes = _Grammar(prompt).nodes()
    ends, todo = {calls}, list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, _Switch):
            if (when := node.last(calls)) >= 1:
                ends.add(when)
            todo += [*node.before, *node.after]
        elif isinstance(node, _Turns):
            ends.update(range(1, calls + 1))
            todo += [inner for option in node.options for inner in option]
    return tuple((end, _text(nodes, end, calls)) for end in sorted(ends))


def texts(prompt: str, calls: int) -> tuple[str, ...]:
    """The different texts of `schedule`."""
    return tuple(dict.fromkeys(text for _, text in schedule(prompt, calls)))


@dataclass(frozen=True)
class _Switch:
    """[before:after:when]."""

    before: "_Nodes"
    after: "_Nodes"
    when: str

    def last(self, calls: int) -> int:
        """The last call of `before`."""
        when = float(self.when) * (calls if "." in self.when else 1)
        return int(min(when, calls))


@dataclass(frozen=True)
class _Turns:
    """[a|b|c]."""

    options: "tuple[_Nodes, ...]"


_Nodes = tuple[str | _Switch | _Turns, ...]


def _text(nodes: _Nodes, call: int, calls: int) -> str:
    words: list[str] = []
    todo = list(reversed(nodes))
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            words.append(node)
        elif isinstance(node, _Switch):
            todo += reversed(node.before if call <= node.last(calls) else node.after)
        else:
            todo += reversed(node.options[(call - 1) % len(node.options)])
    return "".join(words)


class _Grammar:
    """What each bracket of a prompt begins, from the last one to the first: one inside is known before those around it."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._found: dict[int, tuple[_Nodes, int]] = {}
        for start in reversed([match.start() for match in re.finditer(r"[\[(]", prompt)]):
            if (found := (self._square if prompt[start] == "[" else self._round)(start)) is not None:
                self._found[start] = found

    def nodes(self) -> _Nodes:
        """The whole prompt."""
        nodes: list[_Nodes] = []
        position = 0
        while position < len(self._prompt):
            inner, end = self._run(position)
            if end == position:
                if self._prompt[position] in "|\\":
                    return (self._prompt,)
                inner, end = (self._prompt[position],), position + 1
            nodes.append(inner)
            position = end
        return tuple(node for inner in nodes for node in inner)

    def _run(self, position: int) -> tuple[_Nodes, int]:
        """What stands from `position` on, up to what only a bracket around it can take, and where that is."""
        nodes: list[str | _Switch | _Turns] = []
        while True:
            if position in self._found:
                inner, position = self._found[position]
                nodes += inner
            elif plain := _PLAIN.match(self._prompt, position):
                nodes.append(plain.group())
                position = plain.end()
            else:
                return tuple(nodes), position

    def _square(self, start: int) -> tuple[_Nodes, int] | None:
        first, end = self._run(start + 1)
        mark = self._prompt[end : end + 1]
        if mark == "]":
            return ("[", *first, "]"), end + 1
        if mark == "|":
            options = [first]
            while self._prompt[end : end + 1] == "|":
                option, end = self._run(end + 1)
                options.append(option)
            return ((_Turns(tuple(options)),), end + 1) if self._prompt[end : end + 1] == "]" else None
        if mark != ":":
            return None
        if when := _WHEN.match(self._prompt, end + 1):
            return (_Switch((), first, when[1]),), when.end()
        second, end = self._run(end + 1)
        if self._prompt[end : end + 1] == ":" and (when := _WHEN.match(self._prompt, end + 1)):
            return (_Switch(first, second, when[1]),), when.end()
        return None

    def _round(self, start: int) -> tuple[_Nodes, int] | None:
        nodes, end = self._run(start + 1)
        if self._prompt[end : end + 1] == ":":
            weight, end = self._run(end + 1)
            nodes = (*nodes, ":", *weight)
        return (("(", *nodes, ")"), end + 1) if self._prompt[end : end + 1] == ")" else None
