"""HOW FAR TO BELIEVE IT: estimates of one outcome, checks on them, and the verdict of a declared rule."""
