"""What is known: the medallion lakehouse on Iceberg."""
