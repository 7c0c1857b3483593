"""What happened: everything that must survive a worker, in PostgreSQL and Valkey."""
