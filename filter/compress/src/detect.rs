//! What kind of content is this text?
