"""A checkout: the folder of a manifest, with what is remembered in ``cache/`` and delivered in ``build/``.

`Checkout` makes variants and knows, without planning or reading anything big, which are there already: a `Stamp` beside
the cache notes what was delivered and the digest of all that it depended on. ``making`` is how variants come about,
``commission`` what the stages are asked for an artifact. ``whole`` finds in the store what all of them together gave,
``shared`` is how notes lie there. ``delivery`` knows our own folders below ``build/`` from other people's, ``runs``
keeps what each run did. ``reporting`` writes the report, of which ``standing`` knows what in it is whose.
"""

from modelbuild.project.checkout import MANIFEST, Checkout
from modelbuild.project.delivery import REPORTS, Delivery, names, place
from modelbuild.project.making import Made
from modelbuild.project.order import abreast
from modelbuild.project.stamp import Stamp

__all__ = ["MANIFEST", "REPORTS", "Checkout", "Delivery", "Made", "Stamp", "abreast", "names", "place"]
