"""How values become colours."""

from __future__ import annotations

import numpy as np

from geo_assets.kernels.raster.colour import Layer, paint


def bands(*values, plain=False):
    everywhere = np.ones(values[0].shape, bool)
    return [Layer(value, everywhere, None, plain, f"band {n}") for n, value in enumerate(values)]


def scene(clouds: float, seed=3):
    """Green land of 300 to 900 and white clouds of 6,000 to 12,000, which cover a share of it."""
    chance = np.random.default_rng(seed)
    land = chance.uniform(300, 900, (100, 100))
    covered = chance.uniform(size=land.shape) < clouds
    white = chance.uniform(6000, 12000, land.shape)
    values = [np.where(covered, white, land * factor) for factor in (0.8, 1.2, 0.6)]
    return [value.astype(np.uint16) for value in values], covered


def brightness(colours, where) -> float:
    return float(colours[:3].astype(float).mean(axis=0)[where].mean())


def test_land_is_seen_between_bright_clouds_of_any_share():
    for share in (0.05, 0.3, 0.6):
        values, covered = scene(share)
        colours, numbers = paint(bands(*values))
        straight = np.mean([
            np.clip((v - n["low"]) / (n["high"] - n["low"]), 0, 1)[~covered].mean() * 255
            for v, n in zip(values, numbers, strict=True)
        ])  # fmt: skip
        assert brightness(colours, ~covered) > max(5 * straight, 45)
        assert brightness(colours, covered) > brightness(colours, ~covered) + 80


def test_a_scene_in_the_middle_stays_as_it_is():
    ramp = np.linspace(0, 1000, 10_000).reshape(100, 100)
    values = [ramp, ramp[::-1], ramp]
    colours, _ = paint(bands(*values))
    for band, value in zip(colours, values, strict=False):
        expected = np.clip((value - 20) / 960, 0, 1) * 255
        assert np.abs(band - expected).max() <= 1


def test_what_is_brightness_already_is_not_touched():
    values = np.arange(3 * 256, dtype=np.uint8).reshape(3, 16, 16)
    colours, _ = paint(bands(*values, plain=True))
    assert (colours[:3] == values).all()
    assert (colours[3] == 255).all()


def test_no_data_is_transparent_and_sets_no_colour():
    values, covered = scene(0.2)
    layers = bands(*values)
    for layer in layers:
        layer.valid = ~covered
    colours, numbers = paint(layers)
    assert (colours[3] == np.where(covered, 0, 255)).all()
    assert max(n["high"] for n in numbers) < 1200
    nothing = bands(*values)
    for layer in nothing:
        layer.valid = np.zeros_like(covered)
    assert not paint(nothing)[0].any()
