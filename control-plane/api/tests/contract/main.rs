//! The contract: its generated Rust is that of its files, and it goes on as protobuf's rules want.

mod descriptors;
mod generated;
mod skew;
