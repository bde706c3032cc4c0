"""The command `rchan`: one file per subcommand."""
