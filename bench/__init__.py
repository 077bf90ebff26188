"""What things cost, beside other ways of doing them. No test: it prints, and a missed aim is told."""
