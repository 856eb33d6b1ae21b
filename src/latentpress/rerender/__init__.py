"""Makes a picture again from its own metadata, compares pixels, and names what differs in what it was made from.

Reads pictures, bundles, concepts and, where there is one, the ledger above a picture; writes nothing beside the cache.
"""

from latentpress.rerender.again import Again, rerender_pictures
from latentpress.rerender.inputs import Sources

__all__ = ["Again", "Sources", "rerender_pictures"]
