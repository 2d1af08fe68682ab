"""The Wine guest: how its image is built, and how the guest is driven."""
