"""The command line: one file for each command. Nothing of it is public but the command itself."""
