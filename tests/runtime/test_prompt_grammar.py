"""Grammars of prompt weights: compel's held to the package itself, A1111's to the examples its parser publishes."""

import random
import warnings

import pytest

from latentpress.bundle.info import Bundle
from latentpress.errors import UsageError
from latentpress.runtime.prompts import Reading, parse_prompt
from latentpress.runtime.prompts.concepts import Names
from latentpress.runtime.prompts.tokens import PromptTokenizer

with warnings.catch_warnings():  # compel calls pyparsing by names of old
    warnings.simplefilter("ignore")
    from compel.prompt_parser import PromptParser

    COMPEL_PARSER = PromptParser()

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")

COMPEL = Reading("compel")


def parts(prompt, dialect):
    return [[(part.text, part.weight) for part in section] for section in parse_prompt(prompt, dialect)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # The docstring of A1111's parse_prompt_attention.
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        ),
        # Its rules, one by one.
        ("[less]", [("less", 1 / 1.1)]),
        (r"back\\slash \x", [(r"back\slash x", 1.0)]),
        ("never opened) and ] : 1.3)", [("never opened) and ] : 1.3)", 1.0)]),
        ("(two words : -0.5 ) x", [("two words ", -0.5), (" x", 1.0)]),
        ("([crossed) ends]", [("crossed", 1.0), (" ends", 1 / 1.1)]),
        ("", [("", 1.0)]),
        ("()", [("", 1.0)]),
    ],
)
def test_a1111_grammar(prompt, expected):
    (found,) = parts(prompt, "a1111")
    assert [text for text, _ in found] == [text for text, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def test_break_divides_a_prompt_wherever_it_stands():
    assert parts("a cat BREAK (a dog BREAK  a red) one BREAK", "a1111") == [
        [("a cat", 1.0)],
        [("a dog", 1.1)],
        [("a red", 1.1), (" one", 1.0)],
    ]
    assert parts("BREAK a", "a1111") == [[("", 1.0)], [("a", 1.0)]]
    assert parts("BREAKFAST", "a1111") == [[("BREAKFAST", 1.0)]]


@pytest.mark.parametrize(
    ("dialect", "prompt", "said"),
    [
        ("a1111", "cat AND dog", "'AND' in the prompt composes several prompts in A1111"),
        ("a1111", "(cat:1.2.3)", "the weight '1.2.3' in the prompt"),
        ("compel", '("a", "b").and()', "').and(' in the prompt is compel's, but no weight"),
        ("compel", "(a, b).blend(1, 2)", "').blend(' in the prompt is compel's, but no weight"),
        ("compel", "cat.swap(dog)", "'.swap(' in the prompt is compel's"),
        ("compel", "cat withLora(x)", "'withLora(' in the prompt is compel's"),
    ],
)
def test_what_is_no_weight_is_refused(dialect, prompt, said):
    with pytest.raises(UsageError) as caught:
        parse_prompt(prompt, dialect)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def compels_own(prompt):
    (flat,) = COMPEL_PARSER.parse_conjunction(prompt).prompts or (None,)
    return [(child.text, child.weight) for child in flat.children] if flat else [("", 1.0)]


@pytest.mark.parametrize(
    "prompt",
    [
        'a red++ cat, (blue eyes)1.3 and "long fur"- (it\'s (very soft)+, warm)0.8',
        "(((deep)+)+ nest)1.5",
        r"c\+\+ \(literal\) (with \"quotes\")+ back\\slash",
        "C++ (half-timbered house)++, well-lit - not a minus -5",
        "(unbalanced ++ and) brackets (a = b)1.3",
        "(attend).attend(1.5) word.attend(--)",
        "<line-art>+ of (<moeb-style> mouse)0.5",
        "(a)(b) (c)2 1.5 .5 a,b++",
        "",
        "  ",
        "()",
    ],
)
def test_compel_grammar_is_compels(prompt):
    assert parts(prompt, "compel") == [compels_own(prompt)]


@pytest.mark.parametrize("depth", [1, 3])
def test_brackets_nest_as_deep_as_they_like(depth):
    """compel's own parser follows as far as Python's stack lets it; what it does must not change beyond."""

    def prompts(depth):
        yield "(" * depth + " a red heart"
        yield "(" * depth + "a" + ")+" * depth
        yield "(a " * depth + ")0.9" * (depth - 1)
        yield '"' + "(" * depth + "a" + ")" * depth + '"--'
        yield r"\(" + "(" * depth + r"\) b" + ")" * depth

    for prompt in prompts(depth):
        assert parts(prompt, "compel") == [compels_own(prompt)], prompt
    unclosed, weighed, *others = prompts(400)
    assert parts(unclosed, "compel") == [[("(" * 400 + " a red heart", 1.0)]]
    (((text, weight),),) = parts(weighed, "compel")
    assert (text, weight) == ("a", pytest.approx(1.1**400, rel=1e-9))
    for prompt in others:
        assert parts(prompt, "compel")


def test_compel_grammar_is_compels_for_anything():
    choose = random.Random(7)
    atoms = [*'()()+-,.=" "[:', "cat", "red", "<line-art>", "++", "--", "1.3", ".5", "2", " ", " ", r"\(", r"\)", r"\""]
    atoms += ["well-lit", r"\+", "3d", "-5", ".attend(", "a, "]
    weighed = 0
    for _ in range(150):
        prompt = "".join(choose.choice(atoms) for _ in range(choose.randint(1, 12)))
        expected = compels_own(prompt)
        assert parts(prompt, "compel") == [expected], prompt
        weighed += any(weight != 1 for _, weight in expected)
    assert weighed > 10


@pytest.mark.parametrize(
    ("dialect", "prompt", "said"),
    [
        ("a1111", "a cat BREAK a dog", "add `long_prompts: chunks`"),
        ("a1111", "a AND b", "composes several prompts"),
        ("compel", "(a, b).and()", "no weight"),
    ],
)
def test_a_plan_hears_of_faults(dialect, prompt, said, bundle):
    assert said in PromptTokenizer(bundle).check(prompt, Reading(dialect)).fault
    assert PromptTokenizer(bundle).check(prompt).fault is None


def test_a_concept_that_a_dialect_takes_apart_is_refused(bundle):
    tokenizer = PromptTokenizer(bundle)
    tokenizer._concepts = {"<a.b>": [3]}
    tokenizer._names = Names(("<a.b>",), {}, tokenizer._tokenizer.words)
    assert tokenizer.check("<a.b> cat+", COMPEL).fault is None
    assert "takes the concept <a.b> apart" in tokenizer.check("(<a.b> cat)+", COMPEL).fault


def test_an_older_bundle_is_refused_where_it_cannot_hide_tokens(bundle):
    old = bundle.info.model_copy(
        update={"text_encoders": [encoder.model_copy(update={"hides": False}) for encoder in bundle.info.text_encoders]}
    )
    tokenizer = PromptTokenizer(Bundle(bundle.path, old, bundle.hash))
    assert tokenizer.check("a cat+", COMPEL).fault is None
    assert "export the checkpoint again" in tokenizer.check("a cat-", COMPEL).fault
