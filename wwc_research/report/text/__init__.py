"""Texts of the pages in other languages than English: one gettext catalogue a language, kept by `collect`."""
