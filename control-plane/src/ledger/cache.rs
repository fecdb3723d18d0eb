//! What providers' prompt caches read, what they could have read, and why they did not.
//!
//! Each request is compared with what earlier ones have written ([`written`]), by the rules of its provider
//! ([`rules`]), and gets one reason ([`verdict`]). What that costs, and what other ways to use the cache would have
//! saved, is worked out at the same time ([`money`]), so that only sums are kept.

pub mod money;
pub mod rules;
pub mod verdict;
pub mod written;
