"""A gallery in one SQLite database: everything committed is safe, and everything read is checked."""
