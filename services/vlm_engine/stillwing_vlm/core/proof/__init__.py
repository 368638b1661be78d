"""Faster paths prove themselves beside the plain one, on the user's own device, before they are used."""
