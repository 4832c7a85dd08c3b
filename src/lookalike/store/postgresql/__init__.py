"""A gallery in PostgreSQL with pgvector: for a team, on a server that somebody looks after."""
