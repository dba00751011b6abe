"""The `hasten` command: `hasten.cli.main.main` chooses the verb, each verb has a module of its own."""
