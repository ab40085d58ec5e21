"""What every transform promises: shape, type, batches that do not matter, images left alone."""

import inspect

import pytest
import torch

from zhurnal.core import settings
from zhurnal.train import random, steps, transforms


@pytest.fixture(params=[*settings.RECIPES, *settings.STEPS, "crop cutout rotation alternating_flip trivial_augment"])
def name(request):
    return request.param


@pytest.fixture(params=[(3, 32, 32), (1, 28, 28), (3, 9, 14), (1, 4, 4), (3, 96, 64)], ids=str)
def shape(request):
    return request.param


def batch(name, shape, num=37):
    transform = transforms.make(name if name in settings.RECIPES else name.split(), shape, [0.4] * shape[0])
    images = torch.randint(0, 256, (num, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    return transform, images, random.uniform(7, random.AUGMENT, 2, torch.arange(num), transform.num_draws)


def test_every_step_in_the_settings_is_there_with_its_options():
    assert list(steps.STEPS) == list(settings.STEPS)
    for step, function in steps.STEPS.items():
        options = list(inspect.signature(function).parameters.values())
        assert [o.name for o in options[:2]] == ["image", "mean_C"]
        assert {o.name: o.default for o in options[2:]} == settings.STEPS[step]().model_dump()
        assert all(o.kind is o.KEYWORD_ONLY for o in options[2:])


def test_every_recipe_is_made_of_steps_in_their_canonical_form():
    assert tuple(settings.RECIPES) == settings.TRANSFORMS
    for recipe, written in settings.RECIPES.items():
        given = settings.parse({"data": {"transform": written}}).data.transform
        assert settings.steps_of(given) == settings.steps_of(recipe)


def test_shape_and_type_stay(name, shape):
    transform, images, draws = batch(name, shape)
    after = transform.apply(images, draws)
    assert (after.shape, after.dtype, after.device) == (images.shape, torch.uint8, images.device)
    assert after.is_contiguous()


def test_an_image_does_not_depend_on_its_batch(name, shape):
    transform, images, draws = batch(name, shape)
    together = transform.apply(images, draws)
    alone = torch.cat([transform.apply(images[n : n + 1], draws[n : n + 1]) for n in range(len(images))])
    backwards = transform.apply(images.flip(0), draws.flip(0)).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, backwards)


def test_normalized_images_do_not_depend_on_their_batch(shape):
    _, images, _ = batch("init", shape)
    normalize = transforms.normalizer([0.47] * shape[0], [0.21] * shape[0])
    assert torch.equal(normalize(images), torch.cat([normalize(image[None]) for image in images]))


def test_the_images_given_are_left_alone(name, shape):
    transform, images, draws = batch(name, shape)
    copy, copy_of_draws = images.clone(), draws.clone()
    transform.apply(images, draws)
    assert torch.equal(images, copy)
    assert torch.equal(draws, copy_of_draws)


def test_augmentation_does_something(name, shape):
    if name == "init":
        pytest.skip("init leaves images as they are")
    transform, images, draws = batch(name, shape)
    least = {"grayscale": 0, "flip": 0.3, "flip_vertical": 0.3, "alternating_flip": 0.3, "random_erasing": 0.3}
    if (shape[0] == 3 or name != "grayscale") and (shape[1] > 4 or name not in ("translate", "rotation", "enlarge")):  # too small to move
        assert (transform.apply(images, draws) != images).flatten(1).any(1).float().mean() > least.get(name, 0.5)


def test_an_empty_batch(name, shape):
    transform, images, draws = batch(name, shape)
    assert transform.apply(images[:0], draws[:0]).shape == (0, *shape)
