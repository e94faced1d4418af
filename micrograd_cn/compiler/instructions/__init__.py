"""A graph as instructions, each once: by the operations' machine forms, or by formulas (see `code`)."""
