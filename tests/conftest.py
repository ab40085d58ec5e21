"""Being here puts this folder on the path of all tests, so that they can import helpers_runs.py and helpers_golden.py."""
