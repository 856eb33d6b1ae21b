"""The XMP packet of a picture: that a model made it, which one, from what prompt, and what it shows. Pure.

The properties are IPTC's (Photo Metadata Standard 2025.1), Dublin Core's and Adobe's; `latentpress:claim` is our own text,
where a format has no other place for it.
"""

import re
from dataclasses import dataclass
from xml.sax.saxutils import escape, unescape

# The keyword of a PNG's chunk that holds it.
KEYWORD = "XML:com.adobe.xmp"
_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "latentpress": "urn:latentpress:picture#",
}
# Characters that are kept of each text: a JPEG holds 65,502 bytes of XMP, and an escaped character takes up to 5.
_TITLE, _ALT, _DESCRIPTION, _PROMPT = 100, 1000, 2000, 7500
# What XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CLAIM = re.compile(b"<latentpress:claim>(.*?)</latentpress:claim>", re.DOTALL)


@dataclass(frozen=True)
class Described:
    """What the packet says. system: what drew the picture; version: of its model; redrawn: whether parts of the picture are
    another one's, so that it is a composite."""

    title: str
    description: str
    alt: str
    prompt: str
    system: str
    version: str
    redrawn: bool = False


def xmp_packet(said: Described) -> str:
    """The packet: the same text for the same picture."""
    kind = "compositeWithTrainedAlgorithmicMedia" if said.redrawn else "trainedAlgorithmicMedia"
    properties = {
        "xmp:CreatorTool": "latentpress",
        "Iptc4xmpExt:DigitalSourceType": _TYPES + kind,
        "Iptc4xmpExt:AISystemUsed": _escaped(said.system),
        "Iptc4xmpExt:AISystemVersionUsed": _escaped(said.version),
        "Iptc4xmpExt:AIPromptInformation": _escaped(_short(said.prompt, _PROMPT)),
        "dc:title": _languages(_short(said.title, _TITLE)),
        "dc:description": _languages(_short(said.description, _DESCRIPTION)),
        "Iptc4xmpCore:AltTextAccessibility": _languages(_short(said.alt, _ALT)),
    }
    lines = "".join(f"<{name}>{xml}</{name}>\n" for name, xml in properties.items())
    spaces = " ".join(f'xmlns:{name}="{space}"' for name, space in _SPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f'<rdf:RDF {spaces}>\n<rdf:Description rdf:about="">\n{lines}</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n'
        '<?xpacket end="r"?>'
    )


def with_claim(packet: str, claim: str) -> str:
    """`packet` with our own text in it, JSON."""
    head, start, rest = packet.partition('<rdf:Description rdf:about="">\n')
    return f"{head}{start}<latentpress:claim>{escape(_json_for_xml(claim))}</latentpress:claim>\n{rest}"


def claim_in(packet: bytes) -> str | None:
    """The text that `with_claim` put in, None where there is none."""
    found = _CLAIM.search(packet)
    return None if found is None else unescape(found[1].decode(errors="replace"))


def _languages(text: str) -> str:
    return f'<rdf:Alt><rdf:li xml:lang="x-default">{_escaped(text)}</rdf:li></rdf:Alt>'


def _escaped(text: str) -> str:
    # A reader of XML makes a line feed of a carriage return that is not written as a number.
    return escape(_FORBIDDEN.sub("\ufffd", text), {"\r": "&#13;"})


def _json_for_xml(text: str) -> str:
    """JSON whose strings have an escape for each character that XML has not."""
    return _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
