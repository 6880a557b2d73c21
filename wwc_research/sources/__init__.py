"""Raw file to observations: one file a source, plus places, crosswalks and the shipped tables."""
