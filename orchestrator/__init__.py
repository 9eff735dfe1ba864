"""The search: command line, quality-diversity loop, archives, LLM backends, run store, views."""
