//! The `tributary` command.
