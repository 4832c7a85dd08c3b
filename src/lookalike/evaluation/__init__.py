"""How good and how fast: retrieval quality by the one protocol, comparisons of encoders, speed and scaling."""
