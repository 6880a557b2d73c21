"""Cells of a CSV that a spreadsheet takes as text.

In: text from data. Out: the same text, guarded where it would be read as a formula.
"""

from __future__ import annotations


def text_cell(text: str) -> str:
    """Text that a spreadsheet takes as text and never as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
