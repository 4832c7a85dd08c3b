"""What can be trained: the described autoencoder, its relatives, and the linear bar that each has to clear."""
