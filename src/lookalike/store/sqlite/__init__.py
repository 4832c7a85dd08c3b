"""A gallery in one SQLite database: what is committed is safe, and what is read is checked."""
