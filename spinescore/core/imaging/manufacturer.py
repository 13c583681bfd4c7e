"""Names of manufacturers and models, as headers spell them -> as a table can group them.

A vendor writes its name a dozen ways over twenty years; analyses by device need
one. Names that are not known stay as they are, tidied; the caller keeps the raw text too.
"""

from __future__ import annotations

import re

from spinescore.core.eligibility.vocabulary import words_pattern

VENDORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("GE", ("ge", "ge med*", "ge health*", "gehc", "general electric*", "lunar*", "gems", "ge hangwei*")),
    ("Philips", ("philips*", "pms")),
    ("Siemens", ("siemens*", "siemans")),
    ("Fujifilm", ("fujifilm*", "fuji film*", "fuji photo*", "fuji")),
    # Canon bought Toshiba's medical business in 2016; its own flat panels were Canon Inc. before.
    ("Canon", ("canon*", "toshiba*", "tmsc", "virtual imaging*")),
    ("Carestream", ("carestream*", "kodak*", "eastman kodak*")),
    ("Agfa", ("agfa*",)),
    ("Konica Minolta", ("konica*", "minolta*", "konicaminolta*")),
    ("Hologic", ("hologic*", "lorad*", "fluoroscan*")),
    ("Samsung", ("samsung*",)),
    ("Shimadzu", ("shimadzu*",)),
    ("Hitachi", ("hitachi*",)),
    ("EOS imaging", ("eos imag*", "biospace*", "eos")),
    ("DRTECH", ("drtech*", "dr tech")),
    ("Vieworks", ("vieworks*",)),
    ("Rayence", ("rayence*", "vatech*")),
    ("Listem", ("listem*",)),
    ("DK Medical", ("dk med*", "dongkang*", "dongmun*")),
    ("DRGEM", ("drgem*",)),
    ("JPI", ("jpi*",)),
    ("Swissray", ("swissray*",)),
    ("Del Medical", ("del med*",)),
    ("Sedecal", ("sedecal*",)),
    ("Varian", ("varian*", "varex*")),
    ("iRay", ("iray*",)),
    ("United Imaging", ("united imag*", "uih")),
    ("Mindray", ("mindray*",)),
    ("Wandong", ("wandong*", "beijing wandong*")),
    ("iCRco", ("icrco*",)),
    ("Medlink", ("medlink*",)),
    ("Ziehm", ("ziehm*",)),
    ("Italray", ("italray*",)),
    ("GMM", ("gmm", "general medical merate*")),
    ("Villa", ("villa sist*",)),
    ("DMS", ("dms", "dms imag*", "dms apelem*", "apelem*", "medilink*", "stephanix*")),
    ("Norland", ("norland*", "coopersurgical*", "swissray norland*")),
    ("OsteoSys", ("osteosys*", "osteo sys*")),
    ("Schick", ("schick*",)),
    ("Oldelft", ("oldelft*",)),
    ("Lodox", ("lodox*",)),
)
"""Canonical name and the words that a spelling begins with; the first that fits is taken."""

_KNOWN = tuple(
    (canonical, re.compile(rf"\W*{words_pattern(words)}", re.IGNORECASE)) for canonical, words in VENDORS
)
_UNPRINTED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\ufeff]+")
_NOTHING = re.compile(r"(?:unknown|none|n/?a|null|undefined|anonym\w*|removed|\W*)", re.IGNORECASE)


def normalise_manufacturer(text: str | None) -> str | None:
    """Return the manufacturer under one name; None where the text names none.

    Source: Manufacturer (0008,0070), LO, PS3.3 C.7.5.1, as spelt in public files and in
    conformance statements. Applying it again changes nothing.

    >>> normalise_manufacturer("GE MEDICAL SYSTEMS")
    'GE'
    >>> normalise_manufacturer("FUJI PHOTO FILM Co., ltd.")
    'Fujifilm'
    >>> normalise_manufacturer("  Acme   X-Ray ")
    'Acme X-Ray'
    """
    tidy = _tidy(text)
    if tidy is None:
        return None
    for canonical, pattern in _KNOWN:
        if pattern.match(tidy):
            return canonical
    return tidy


def normalise_model(manufacturer: str | None, text: str | None) -> str | None:
    """Return the model (0008,1090) tidied and without its maker's name in front.

    Parameters
    ----------
    manufacturer : str or None
        As it stands or normalised.
    text : str or None
        The model's name.

    >>> normalise_model("PHILIPS", '"Philips  DigitalDiagnost"')
    'DigitalDiagnost'
    >>> normalise_model("GE Healthcare", "Lunar iDXA")
    'Lunar iDXA'
    """
    tidy = _tidy(text)
    maker = normalise_manufacturer(manufacturer)
    if tidy is None or maker is None:
        return tidy
    while len(tidy) > len(maker) and tidy.casefold().startswith(maker.casefold() + " "):
        rest = _tidy(tidy[len(maker) :])
        if rest is None:
            break
        tidy = rest
    return tidy


def _tidy(text: str | None) -> str | None:
    if text is None:
        return None
    tidy = _UNPRINTED.sub(" ", text).strip(" \"'")
    return None if _NOTHING.fullmatch(tidy) else tidy
