"""The sections of the settings, a file for each: one field gives the YAML key, its check, its error message and its documentation."""
