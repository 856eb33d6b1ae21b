"""What sd-parsers reads from the pictures named as arguments: JSON, path -> field -> text. Runs where that is installed."""

import json
import sys

from PIL import Image
from sd_parsers import ParserManager

manager, found, opened = ParserManager(), {}, []
for path in sys.argv[1:]:
    opened.append(Image.open(path))  # and kept: what it reads of one it remembers by the object's id
    try:
        read = manager.parse(opened[-1])
    except ValueError:  # of a prompt that it takes apart in the wrong places
        read = None
    said = {}
    if read is not None and read.samplers:
        [sampler] = read.samplers
        said = {
            "prompt": "\n".join(one.value for one in sampler.prompts),
            "negative_prompt": "\n".join(one.value for one in sampler.negative_prompts),
            "steps": sampler.parameters.get("steps"),
            "seed": sampler.parameters.get("seed"),
            "guidance_scale": sampler.parameters.get("cfg_scale"),
            "sampler": sampler.name,
            "size": read.metadata.get("Size"),
            "model": sampler.model and sampler.model.name,
            "model_hash": sampler.model and sampler.model.hash,
        }
    found[path] = said
print(json.dumps(found))
