//! The contract goes on as protobuf's rules want.

mod descriptors;
mod skew;
