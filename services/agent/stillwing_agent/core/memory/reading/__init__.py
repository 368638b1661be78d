"""Which things an instruction is about: read from its words, and known again under one number."""
