"""Statistics as pure functions of numbers and arrays; nothing here knows of runs. What scipy has is taken from it, inside the functions."""
