"""Vehicles that the bridge can fly, one package for each kind."""
