"""IAM: what policies decide (``policies``, ``conditions``; pure) and moto's service with corrections."""
