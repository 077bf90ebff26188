"""What replaces parts of moto's core."""
