"""Do strong city data practices go with better lives for residents? An honest test of the claim."""

__version__ = "0.1.0"
