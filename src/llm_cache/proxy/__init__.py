"""The way in from HTTP: `llm-cache serve`. It must not decide what is kept or served; the core's plan does."""
