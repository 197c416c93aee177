"""From the text of config.yaml to checked sections, with the line of every key."""
