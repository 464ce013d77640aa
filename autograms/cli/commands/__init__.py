"""The commands, one module each, its function named as the command is."""
