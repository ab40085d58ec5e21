"""Experiments removed and brought back, numbers changed, labs put together, disk space freed. Nothing is lost on the way, wherever it is killed."""
