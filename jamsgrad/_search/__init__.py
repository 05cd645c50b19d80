"""One search: from one start to a point at which a stop rule holds."""
