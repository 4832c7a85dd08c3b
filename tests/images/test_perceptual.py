"""The perceptual hash: near for copies, far for other pictures, and known for all orientations."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from lookalike.images.perceptual import (
    HASH_SIZE,
    ORIENTATIONS,
    hash_brightness,
    hashes_of_orientations,
    take_brightness,
)
from tests.scenery import draw_scene as scene


def hash_picture(image: Image.Image) -> bytes:
    return hash_brightness([take_brightness(image)])[0]


def bits_apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def test_a_hash_has_256_bits_and_is_always_the_same():
    picture = scene(1)
    assert len(hash_picture(picture)) == HASH_SIZE == 32
    assert hash_picture(picture) == hash_picture(picture.copy())


def test_pictures_are_hashed_together_as_each_alone():
    pictures = [scene(number) for number in range(5)]
    assert hash_brightness([take_brightness(each) for each in pictures]) == [hash_picture(each) for each in pictures]
    assert hash_brightness([]) == []


def test_the_hash_is_the_one_that_galleries_have_already():
    brightness = bytes((x * y * 7 + 13 * x) % 256 for y in range(32) for x in range(32))
    known = "8000009747b501fe8d911df24f2d43f457835d001aaa0fa7ea2ccd870a3c2b56"
    assert [each.hex() for each in hash_brightness([brightness, bytes(1024), brightness])[::2]] == [known, known]


def test_the_bits_are_the_signs_of_the_cosine_transform():
    picture = scene(4)
    small = np.frombuffer(take_brightness(picture), np.uint8).reshape(32, 32).astype(float)
    cosines = np.cos(np.pi * (2 * np.arange(32) + 1) * np.arange(16)[:, None] / 64)
    coefficients = cosines @ small @ cosines.T
    bits = np.unpackbits(np.frombuffer(hash_picture(picture), np.uint8)).reshape(16, 16)
    clear = np.abs(coefficients) > 1e-6
    assert clear.sum() > 250
    assert (bits == (coefficients > 0))[clear].all()


@pytest.mark.parametrize("number", range(8))
def test_the_hashes_of_all_orientations_follow_from_one(number):
    picture = scene(2, size=(96, 64))
    known = hashes_of_orientations(np.frombuffer(hash_picture(picture), np.uint8))[number, 0].tobytes()
    turn = ORIENTATIONS[number]
    turned = picture if turn is None else picture.transpose(turn)
    assert bits_apart(known, hash_picture(turned)) <= 4  # a coefficient of nearly 0 may be rounded to either side


def test_copies_are_near_and_other_pictures_far():
    picture = scene(3)
    copies = [
        picture.resize((64, 48)),
        recompressed(picture, 30),
        picture.convert("L").convert("RGB"),
        ImageEnhance.Brightness(picture).enhance(1.2),
        ImageEnhance.Contrast(picture).enhance(0.8),
    ]
    assert all(bits_apart(hash_picture(picture), hash_picture(copy)) <= 48 for copy in copies)
    assert all(bits_apart(hash_picture(picture), hash_picture(scene(seed))) > 80 for seed in range(10, 20))


def test_grey_pictures_and_pictures_of_a_pixel_have_a_hash():
    assert len(hash_picture(Image.new("L", (1, 1), 7))) == HASH_SIZE
    assert len(hash_picture(Image.new("RGB", (1, 4000), "red"))) == HASH_SIZE


def test_no_hashes_have_no_orientations():
    assert hashes_of_orientations(np.zeros((0, HASH_SIZE), np.uint8)).shape == (8, 0, HASH_SIZE)
