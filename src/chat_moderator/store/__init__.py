"""The embedded database: schema, numbered migrations, one writer."""
