//! An attribute `test` that turns an ordinary unit test into one of `wasm-bindgen-test`.
//!
//! wasm32-unknown-unknown has no test harness of its own, and `wasm-bindgen-test` runs only tests with its
//! own attribute. A crate that imports this one with `#[macro_use]`, for that target and for tests only, gets
//! `#[test]` from here instead of from the standard library, so that its tests need only one attribute.

use proc_macro::TokenStream;

/// Replaces the standard library's `#[test]`.
#[proc_macro_attribute]
pub fn test(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    let mut attribute: TokenStream = "#[::wasm_bindgen_test::wasm_bindgen_test]".parse().unwrap_or_default();
    attribute.extend(function);
    attribute
}
