"""ECR: tokens that its registry verifies, images with their true digests, and the registry itself."""
