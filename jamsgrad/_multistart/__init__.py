"""Many searches at once: lanes on devices, from starts to a result."""
