"""Statements become a journal: entries with a person's words around generated blocks, and the list of them."""
