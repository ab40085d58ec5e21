"""Zhurnal: a lab journal for computer-vision experiments."""

__version__ = "0.1.0"
