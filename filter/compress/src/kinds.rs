//! One compressor per kind of content.
//!
//! Each module offers what its kind allows of
//!
//! * `lossless(text, context) -> Option<String>`: a form from which the text, or where the module
//!   says so its values, can be derived;
//! * `lossy(text, context) -> Option<Lossy>`: what to keep, and a description of the rest.
//!
//! They are pure, they take time linear in the text, they leave the comparison of token counts to
//! the pipeline, and they return `None` as soon as they see that the text is not theirs.
