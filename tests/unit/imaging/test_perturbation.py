"""Small changes to pixels: what moves, by how much, and what stays padding."""

from __future__ import annotations

import numpy as np
import pytest

from spinescore.core.imaging.perturbation import PERTURBATIONS, Perturbation, perturb

RAMP = np.add.outer(np.arange(100, dtype=np.uint16) * 40, np.arange(50, dtype=np.uint16) * 3)


def _spot(row: int, column: int) -> np.ndarray:
    image = np.zeros((100, 50), np.uint16)
    image[row, column] = 4095
    return image


@pytest.mark.parametrize(
    ("change", "row", "column"),
    [("up 2%", 48, 25), ("down 2%", 52, 25), ("left 2%", 50, 24), ("right 2%", 50, 26)],
)
def test_a_shift_moves_a_spot_by_its_share_of_the_side(change: str, row: int, column: int) -> None:
    moved, _ = perturb(_spot(50, 25), PERTURBATIONS[change])
    assert np.unravel_index(moved.argmax(), moved.shape) == (row, column)


def test_a_rotation_turns_counter_clockwise_about_the_middle() -> None:
    moved, _ = perturb(_spot(50, 45), Perturbation(family="rotation", degrees=10.0))
    turned = np.radians(10) * 20.5  # of a spot 20.5 pixels right of the middle
    row, column = np.unravel_index(moved.argmax(), moved.shape)
    assert row == pytest.approx(49.5 - turned, abs=1.5)
    assert column == pytest.approx(45, abs=1.0)


def test_what_comes_into_view_continues_the_edge() -> None:
    moved, _ = perturb(RAMP + 500, Perturbation(family="rotation", degrees=3.0))
    assert moved.min() >= 1
    shifted, _ = perturb(RAMP, PERTURBATIONS["down 2%"])
    assert np.array_equal(shifted[0], shifted[2])


def test_gamma_keeps_the_order_of_values_and_noise_has_its_sd() -> None:
    darker, _ = perturb(RAMP, PERTURBATIONS["gamma 1.25"])
    assert np.all(np.diff(darker.ravel()[np.argsort(RAMP, axis=None, kind="stable")].astype(int)) >= 0)
    flat = np.full((400, 400), 2000, np.uint16)
    flat[0, 0], flat[0, 1] = 0, 4000
    noisy, _ = perturb(flat, PERTURBATIONS["noise 2%"], seed=3)
    assert noisy[1:].std() / 65534 == pytest.approx(0.02, rel=0.02)
    again, _ = perturb(flat, PERTURBATIONS["noise 2%"], seed=3)
    assert np.array_equal(noisy, again)


def test_padding_moves_with_the_image_stays_padding_and_nothing_else_becomes_it() -> None:
    image = RAMP + 100
    image[:10] = 7
    moved, padding = perturb(image, PERTURBATIONS["down 2%"], padding_value=7)
    assert padding == 0
    assert np.all(moved[:12] == 0)
    assert np.all(moved[12:] > 0)
    unchanged, none = perturb(image, PERTURBATIONS["down 2%"])
    assert none is None
    assert unchanged.min() > 0


def test_every_listed_change_changes_an_image_but_keeps_its_size() -> None:
    image = np.random.default_rng(0).integers(0, 4096, (60, 40)).astype(np.uint16)
    same, _ = perturb(image, Perturbation(family="none"))
    assert (
        np.argsort(same, axis=None, kind="stable").tolist()
        == np.argsort(image, axis=None, kind="stable").tolist()
    )
    for name, change in PERTURBATIONS.items():
        changed, _ = perturb(image, change)
        assert changed.shape == image.shape
        assert not np.array_equal(changed, same), name
