"""The moderator inside a serverless function."""
