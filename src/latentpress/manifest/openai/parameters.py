"""What OpenAI's image endpoints take, as the `openai` client's own types say it. Knows nothing of jobs."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latentpress.errors import EnvironmentFailure

GENERATIONS, EDITS, VARIATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/images/variations"
ENDPOINTS = (GENERATIONS, EDITS, VARIATIONS)
# Parameters that are files in the client's types, and references to some in a Batch file.
PICTURES = ("image", "mask", "markup")
MISSING = 'it needs the package openai, whose types say what a request is: pip install "latentpress[openai]"'


def parameters(url: str) -> Mapping[str, Any]:
    """The parameters of the endpoint at `url`, one of ENDPOINTS. Raises EnvironmentFailure without the client."""
    return _endpoint(url)[0]


def required(url: str) -> frozenset[str]:
    """Those that every request has."""
    return _endpoint(url)[1]


def complaint(url: str, name: str, value: Any) -> str | None:
    """What is wrong with the value of a parameter that is not a picture, as the end of a sentence; None if nothing is."""
    try:
        _endpoint(url)[0][name].validate_python(value, strict=True)
    except ValidationError as error:
        said = error.errors()[-1]["msg"]
        return said.replace("Input should be", "it should be").replace("Input", "it")
    return None


@cache
def _endpoint(url: str) -> tuple[Mapping[str, Any], frozenset[str]]:
    """A parameter's name -> what checks it, None for pictures; and the names of those that are required."""
    try:
        from openai.types import ImageCreateVariationParams
        from openai.types.image_edit_params import ImageEditParamsNonStreaming
        from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
    except ImportError:
        raise EnvironmentFailure(f"this is a request for OpenAI's API; {MISSING}") from None
    from typing import Required, get_origin

    from typing_extensions import get_type_hints

    kinds = {
        GENERATIONS: ImageGenerateParamsNonStreaming,
        EDITS: ImageEditParamsNonStreaming,
        VARIATIONS: ImageCreateVariationParams,
    }
    kind: Any = kinds[url]
    # The client's modules keep annotations as text, of which `__required_keys__` knows nothing.
    marked = get_type_hints(kind, include_extras=True)
    needed = frozenset(name for name, hint in marked.items() if get_origin(hint) is Required)
    hints = get_type_hints(kind)
    if url == VARIATIONS:  # the client's type is of a model that is gone, and knows its three sizes alone
        hints = {**get_type_hints(ImageEditParamsNonStreaming), **hints}
    hints["size"] = get_type_hints(ImageGenerateParamsNonStreaming)["size"]
    return {name: None if name in PICTURES else TypeAdapter(hint) for name, hint in hints.items()}, needed
