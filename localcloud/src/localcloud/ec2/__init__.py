"""EC2: moto's, with a seeded network and images, and a machine behind each instance."""
