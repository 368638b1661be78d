"""How fast the engine's parts are, beside what the device allows and what the library does."""
