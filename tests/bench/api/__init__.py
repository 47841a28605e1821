"""The API beside a bare route and a plain FastAPI and SQLModel program."""
