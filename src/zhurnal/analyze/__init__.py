"""Rows become statements: what an experiment's runs come to, tables, curves, figures. The only folder that draws."""
