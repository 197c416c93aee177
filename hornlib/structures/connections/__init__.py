"""What structures of sparse networks have in common: numbers of connections, choices among them, and their changes."""
