"""THE STANDARD: certification events become dates of exposure."""
