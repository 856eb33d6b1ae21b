"""Some two hundred small manifests: what reads them, a JSON Schema and the parsers alike or the parsers alone.

Each is what follows `version: 1` and `model: demo`. PARSER has mistakes that no schema can see, by what they are.
"""

LONE = "defaults: {prompt: a}\n"

# Field -> values that are right, and values that are wrong by themselves.
VALUES = {
    "prompt": (
        ["a red kite", "30", '"{red|blue} __x__"', "{file: p.txt}", "{file: p.txt, whole: true}"],
        ["true", "[a]", "{flie: p.txt}", "{whole: true}", "{file: ''}"],
    ),
    "negative_prompt": (["null", '""', "~", "blurry"], ["false", "{a: b}"]),
    "seed": (
        ["0", "18446744073709551615", "1..3", "[1, 5, 9..12]", "-1", "{draw: 2}", "{draw: 1, along: none}"],
        ["-2", "18446744073709551616", "1.5", "a", "[]", "[a]", '"7"', "{draw: 0}", "{along: all}", "{draw: 1, x: 2}"],
    ),
    "size": (
        ["64", "64x72", '"64 × 72"', "[64, 72]"],
        ["63", "8200", "[64]", "[64, 72, 80]", "big", "{w: 64}", "500x512", "512x8200", "0x64"],
    ),
    "sampler": (["euler", "dpmpp_2m_karras", "ddim_trailing", "DPM++ 2M Karras"], ["eulr", "[ddim]", "true"]),
    "steps": (["1", "1000"], ["0", "1001", '"9"', "2.5", "true", "many"]),
    "guidance_scale": (["0", "7.5", "1e2"], ["-1", "1001", "high"]),
    "guidance_rescale": (["0.5"], ["1.5", "none"]),
    "guidance_stop": (["0.6"], ["-0.1"]),
    "clip_skip": (["2"], ["-1", "101", "1.5"]),
    "eta": (["1"], ["2"]),
    "timesteps": (["[999, 500, 0]"], ["[]", "[a]", "999", "[-1]", "[5, 5]"]),
    "init_image": (["p.png", "none", "off", "no", "false"], ["true", "[p.png]", "{a: b}", "''"]),
    "mask_image": (["none"], ["true"]),
    "picture_reading": (["shown", "diffusers"], ["seen", "none"]),
    "background": (
        ["white", '"#ff8000"', "RebeccaPurple", '"#FFF"', '"#ffffffff"', '"rgb(1, 2, 3)"'],
        ['""', "[1, 2, 3]", "true", "wite", '"#ff80"', '"#ffffff80"', "none", "3"],
    ),
    "strength": (["0.1", "1"], ["0", "1.1"]),
    "refiner": (
        ["none", "r", "{model: r, switch_at: 0.5}"],
        ["''", "true", "{switch_at: 0.5}", "{model: r, switch_at: 1}", "{model: r, at: 1}"],
    ),
    "micro_conditioning": (
        ["{original_size: 1023x511, crop_top_left: [0, 8], aesthetic_score: 6}"],
        ["big", "{size: 64}", "{crop_top_left: [0]}", "{aesthetic_score: 11}"],
    ),
    "prompt_weighting": (["a1111", "compel", "none", "off", "false"], ["a111", "true"]),
    "long_prompts": (["chunks"], ["none", "cut"]),
    "text_cleaning": (["clip"], ["ftfy"]),
    "loss": (
        [
            "canny",
            "none",
            "no",
            "{name: channel, channel: red, target: 0.5}",
            "[canny, {name: contrast, scale: 3}]",
            "{name: none}",
            "{name: canny, every: 2, start: 0.1, stop: null, x-why: b}",
        ],
        [
            "cany",
            "true",
            "{scale: 3}",
            "{name: canny, scale: 0}",
            "{name: canny, hihg: 3}",
            "{name: channel, channel: pink}",
            "{name: canny, high: 300}",
            "{name: canny, every: 0}",
        ],
    ),
    "priority": (["10", "-5"], ["high", "2.5", "1001"]),
    "model": (["demo", "bundles/x"], ['""', "true", "[a]"]),
}

RIGHT = [
    LONE,
    "defaults: {prompt: a, n: 3}\n",
    "defaults: {}\njobs: [{prompt: a}]\n",
    "name: night\n" + LONE,
    "name: null\nconcepts: null\nsheet: null\nmatrix: null\noutput: null\n" + LONE,
    "x-note: {a: [1, 2]}\n" + LONE,
    "x-c: &c {steps: 3}\njobs: [{<<: *c, prompt: a}]\n",
    "wildcards: none\n" + LONE,
    "wildcards: lists\n" + LONE,
    "jobs: [{id: a, prompt: a, x-why: b}, {id: 2, prompt: b, n: 2}, {prompt: c, id: null}]\n",
    "jobs:\n  - from: j.jsonl\n  - {from: j.jsonl, id: b, steps: 3}\n",
    "concepts: {<c>: c.bin, <d>: {file: c.bin}, <e>: [c.bin, d.bin]}\n" + LONE,
    LONE + "matrix: {seed: 1..3}\n",
    LONE + "matrix: {seed: [1, 2, 5..7, -1], steps: 3..5}\n",
    LONE + "matrix: {style: [a, {label: B, value: b}, {style: c, seed: 3}, null, true, 3]}\n",
    LONE + "matrix: {style: x, exclude: null, x-todo: more}\n",
    LONE + "matrix: {style: [a, b], n1: {file: p.txt}, exclude: [{style: a}]}\n",
    LONE
    + "matrix: {loss: [none, {name: canny, scale: 3}, {label: b, value: {name: channel}}, {loss: canny, seed: 4}]}\n",
    LONE + "matrix: {loss: {name: canny}, size: [64, 64x72, [72, 64]], timesteps: [[9, 5], null], refiner: [none]}\n",
    "matrix: {prompt: [a, '{b|c}', {file: p.txt}, {prompt: d, seed: 3}]}\n",
    "matrix: {prompt: {file: p.txt}, negative_prompt: [null, '', x], model: [demo, b], priority: [1, 2]}\n",
    "matrix: {größe: [klein, 大]}\n" + LONE,
    LONE + "matrix: {style: [a]}\nsheet: {rows: style, x-b: 1}\noutput: '{style}/{seed:04}-{hash:.12}.png'\n",
    LONE + "sheet: {columns: seed}\n",
    LONE + "policy: {max_failures: 1%, retries: 2, stop_after: 1h30m, stop_at: 06:30, x-why: a}\n",
    LONE + "policy: {max_failures: 3, retries: null}\n",
    "name: nightly 2.0 {x} ö\n" + LONE,
    "output: '{{a}}/..b/{seed:04}/{hash:.12}-{prompt:80}.jpeg'\n" + LONE,
    "output: x.webp\nquality: 90\n" + LONE,
    "quality: null\n" + LONE,
    "twins: true\n" + LONE,
    "twins: null\n" + LONE,
    "jobs: [{from: ./J.JSONL}]\n",
    "model: null\ndefaults: {prompt: a, model: demo}\n",
    "jobs: [{from: j.jsonl, prompt: null}, {prompt: b}]\n",
    "defaults: {prompt: null}\njobs: [{prompt: a}]\n",
    "jobs: [{prompt: null}]\nmatrix: {prompt: [a]}\n",
    "matrix: {style: [{style: a, prompt: b}]}\n",
]

WRONG = [
    "defaults: [a]\n",
    "defaults: {prompt: a, sede: 1}\n",
    "defaults: {prompt: a, id: x}\n",
    "defaults: {prompt: a, n: 0}\n",
    "defaults: {prompt: a, n: 1000001}\n",
    "jobs: {prompt: a}\n",
    "jobs: []\n",
    "jobs: [a]\n",
    "jobs: [{prompt: a, id: [x]}]\n",
    "jobs: [{prompt: a, form: x.csv}]\n",
    "jobs: [{from: [x.csv]}]\n",
    "nmae: x\n" + LONE,
    "name: [x]\n" + LONE,
    "output: x.gif\n" + LONE,
    "output: /x.png\n" + LONE,
    "output: {a: b}\n" + LONE,
    "sheet: style\n" + LONE,
    "sheet: {row: seed}\n" + LONE,
    "sheet: {}\n" + LONE,
    "policy: 3\n" + LONE,
    "policy: {max_failure: 3}\n" + LONE,
    "policy: {max_failures: 0%}\n" + LONE,
    "policy: {max_failures: [1]}\n" + LONE,
    "policy: {retries: -1}\n" + LONE,
    "policy: {stop_after: 6}\n" + LONE,
    "policy: {stop_at: '24:00'}\n" + LONE,
    "wildcards: [a]\n" + LONE,
    "concepts: [a.bin]\n" + LONE,
    "concepts: {<c>: [c.bin]}\n" + LONE,
    "concepts: {<c>: {flie: c.bin}}\n" + LONE,
    "concepts: {<c>: {file: c.bin, sha256: abc}}\n" + LONE,
    "concepts: {<c>: ''}\n" + LONE,
    "matrix: [a]\n" + LONE,
    "matrix: {style: []}\n" + LONE,
    "matrix: {style: null}\n" + LONE,
    "matrix: {id: [a, b]}\n" + LONE,
    "matrix: {my style: [a, b]}\n" + LONE,
    "matrix: {a-b: [c]}\n" + LONE,
    "matrix: {style: [[a, b]]}\n" + LONE,
    "matrix: {style: [{label: x, value: y, vlaue: z}]}\n" + LONE,
    "matrix: {style: [{}]}\n" + LONE,
    "matrix: {style: [{style: a, index: 3}]}\n" + LONE,
    "matrix: {style: [{style: a, steps: 0}]}\n" + LONE,
    "matrix: {steps: [3, 0]}\n" + LONE,
    "matrix: {steps: [many]}\n" + LONE,
    "matrix: {style: [a], exclude: {style: a}}\n" + LONE,
    "matrix: {style: [a, b], exclude: [{}]}\n" + LONE,
    "",
    "name: only\n",
    *(
        f"name: {name}\n" + LONE
        for name in ("a/b", "'..'", "'a:b'", "'a.'", "' a'", "con", "Aux.b", "'x-{date}'", "''", "x" * 256)
    ),
    *(
        f"output: '{name}'\n" + LONE
        for name in ("../x.png", "a/../x.png", "a\\b.png", "{a.png", "a}.png", "{seed:x}.png", "{seed!r}.png", "{}.png")
    ),
    "twins: 3\n" + LONE,
    "twins: 'true'\n" + LONE,
    "quality: 90\n" + LONE,
    "output: x.png\nquality: 90\n" + LONE,
    "jobs: [{from: j.txt}]\n",
    "sheet: {rows: seed}\nsheets: [{rows: seed, name: a}]\n" + LONE,
    "concepts: {'': c.bin}\n" + LONE,
    "jobs: [{from: http://x.org/j.jsonl}]\n",
    "defaults: {prompt: null}\n",
    "defaults: {steps: 3}\n",
    "jobs: [{steps: 3}]\n",
    "jobs: [{prompt: null}]\n",
    "defaults: {prompt: a}\njobs: [{prompt: null}]\n",
    "defaults: {prompt: a}\njobs: [{model: null}]\n",
    "matrix: {prompt: [a, null]}\n",
    "model: null\n" + LONE,
]

# What no schema can see, by what it is.
PARSER = {
    "a key or an id given twice": [
        LONE + LONE,
        "jobs: [{id: a, prompt: a}, {id: a, prompt: b}]\n",
        LONE + "matrix: {a: [{seed: 1}], b: [{seed: 2}]}\n",
    ],
    "a prompt that the matrix might have given": [
        "matrix: {seed: [1]}\n",
        "jobs: [{prompt: null}]\nmatrix: {seed: [1]}\n",
    ],
    "a file or folder that is not there": [
        "defaults: {prompt: {file: gone.txt}}\n",
        "wildcards: gone\n" + LONE,
        "concepts: {<c>: gone.bin}\n" + LONE,
        "defaults: {prompt: a, init_image: gone.png}\n",
        "jobs: [{from: gone.csv}]\n",
    ],
    "a placeholder that nothing fills": [
        "defaults: {prompt: 'a {style}'}\n",
        "output: '{sed}.png'\n" + LONE,
        "sheet: {rows: style}\n" + LONE,
        "defaults: {prompt: a, seed: {draw: 1, along: style}}\n",
    ],
    "braces that cannot be read": [
        "defaults: {prompt: 'a {'}\n",
        "defaults: {prompt: '{3$$a|b}'}\n",
        "defaults: {prompt: '{@a|b}'}\n",
    ],
    "two values that do not go together": [
        "defaults: {prompt: a, seed: 1..2, n: 3}\n",
        LONE + "matrix: {seed: [1]}\njobs: [{seed: 2}]\n",
        "defaults: {prompt: a, timesteps: [9, 5], steps: 3}\n",
        "defaults: {prompt: a, loss: {name: canny, start: 0.9, stop: 0.1}}\n",
        "defaults: {prompt: a, loss: {name: canny, low: 9, high: 3}}\n",
        "defaults: {prompt: a, timesteps: [5, 9]}\n",
        "defaults: {prompt: a, seed: [1, 1..3]}\n",
    ],
    "numbers within a text": [
        "defaults: {prompt: a, seed: 9..1}\n",
        "defaults: {prompt: a, seed: 0..9999999999}\n",
    ],
    "a whole number written with a point": ["defaults: {prompt: a, steps: 30.0}\n"],
    "a colour that is none, in capitals or numbers": ["defaults: {prompt: a, background: Wite}\n"],
    "an exclude that means nothing": [
        LONE + "matrix: {style: [a, b], exclude: [{style: c}]}\n",
        LONE + "matrix: {style: [a], exclude: [{style: a}]}\n",
    ],
    "a character that is not seen": ['name: "a\\u202eb"\n' + LONE],
    "YAML that is no JSON": [LONE + "---\nversion: 1\n", "defaults: {prompt: !!str a, steps: !!int 3}\n"],
}


def right():
    """Every manifest that both accept."""
    found = list(RIGHT)
    for field, (good, _) in VALUES.items():
        found += [_with(field, value, at) for at, value in enumerate(good)]
    return found


def wrong():
    """Every manifest that both refuse."""
    found = list(WRONG)
    for field, (_, bad) in VALUES.items():
        found += [_with(field, value, at) for at, value in enumerate(bad)]
    return found


def _with(field, value, at):
    """A value by turns in `defaults` and in a job."""
    prompt = "" if field == "prompt" else "prompt: a, "
    extra = ", init_image: p.png" if field in ("mask_image", "strength") else ""
    fields = f"{{{prompt}{field}: {value}{extra}}}"
    return f"jobs: [{fields}]\n" if at % 2 else f"defaults: {fields}\n"
