//! One block, from detection to its replacement.
