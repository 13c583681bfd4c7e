"""A decoder for tests of actors: a module of its own, so that worker processes import little."""

from __future__ import annotations

import os

import numpy as np

from spinescore.shell.preparation import PendingImage, Prepared


def prepare(image: PendingImage) -> Prepared:
    """Crash at one image, give the others a blank input."""
    if image.sop_instance_uid == "crashes":
        os._exit(7)
    return Prepared(np.zeros((256, 128), np.float32), "p", "i")
