//! An attribute `test` that makes an ordinary unit test one of `wasm-bindgen-test`.
//!
//! wasm32-unknown-unknown has no test harness of its own, and `wasm-bindgen-test` runs only what
//! carries its own attribute. A crate that imports this one with `#[macro_use]`, for that target and
//! for tests only, gets `#[test]` from here instead of from the standard library, so that its tests
//! need not say everything twice.

use proc_macro::TokenStream;

/// Stands in for the standard library's `#[test]`.
#[proc_macro_attribute]
pub fn test(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    let mut attribute: TokenStream = "#[::wasm_bindgen_test::wasm_bindgen_test]".parse().unwrap_or_default();
    attribute.extend(function);
    attribute
}
