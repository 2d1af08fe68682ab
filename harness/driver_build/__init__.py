"""Builds the binaries that run in a guest, signs them, and checks whether Windows would load them."""
