"""The gateway: the moderator behind HTTP and WebSocket."""
