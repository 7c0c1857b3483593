"""The console at ``/console``: pages of this suite that call its servers as everybody does."""
