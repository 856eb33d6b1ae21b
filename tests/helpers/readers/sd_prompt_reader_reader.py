"""What sd-prompt-reader reads from the pictures named as arguments: JSON, path -> field -> text. Runs where that is."""

import json
import sys
from pathlib import Path

from sd_prompt_reader.image_data_reader import ImageDataReader

found = {}
out, sys.stdout = sys.stdout, sys.stderr  # it warns on stdout
for path in sys.argv[1:]:
    with Path(path).open("rb") as stream:
        read = ImageDataReader(stream)
    one = read.parameter
    found[path] = {
        "prompt": read.positive,
        "negative_prompt": read.negative,
        "steps": one["steps"],
        "seed": one["seed"],
        "guidance_scale": one["cfg"],
        "sampler": one["sampler"],
        "size": one["size"],
        "model": one["model"],
    }
out.write(json.dumps(found))
