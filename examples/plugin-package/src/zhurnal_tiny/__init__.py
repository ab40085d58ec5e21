"""Parts for Zhurnal. Importing the package imports no torch: Zhurnal asks for `zhurnal_tiny.parts` only when a part is used."""
