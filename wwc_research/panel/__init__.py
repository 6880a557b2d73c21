"""OBSERVATIONS + CERTIFICATION → CITY-YEAR PANEL, with provenance and coverage per column."""
