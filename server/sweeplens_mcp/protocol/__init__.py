"""What the server says to clients: registration of tools, schemas, resources, completions, prompts, subscriptions."""
