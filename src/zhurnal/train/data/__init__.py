"""Turns the settings' `data` section into images: `prepare(settings.data, ...)` returns a `Prepared` with its three splits.

prepare.py   the way from settings to splits        source.py   a folder or zip of images: what is in it, and what is wrong with it
images.py    Images, Split, Prepared                decode.py   one image file becomes pixels
builtin.py   digits, CIFAR, MNIST                   folder.py   all files of a source become images, in memory or streamed
splits.py    which image goes where                 cache.py    decoded pixels on disk
entries.py   images that a list names               table.py    a CSV of paths and labels; DTD's lists
arrays.py    images in arrays, .npz                 huggingface.py, penn_fudan.py    sets laid out so
given.py     by a function of the user's own
"""

from .images import Images, InMemory, Prepared, Split, Streamed
from .prepare import prepare

__all__ = ["Images", "InMemory", "Prepared", "Split", "Streamed", "prepare"]
