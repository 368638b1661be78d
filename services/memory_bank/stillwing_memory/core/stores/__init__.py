"""Where a bank keeps things: one store, PostgreSQL with pgvector, embedded or given by a DSN."""
