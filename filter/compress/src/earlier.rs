//! What the conversation has shown before.
