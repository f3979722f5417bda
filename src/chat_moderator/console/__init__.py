"""Pages for people: the chat room, and what moderators need."""
