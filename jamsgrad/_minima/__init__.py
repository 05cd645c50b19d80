"""Which minima many searches found, and how sure that is."""
