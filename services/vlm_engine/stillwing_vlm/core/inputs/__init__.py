"""What goes into the model: pictures, texts, grammars and positions, made ready off the device."""
