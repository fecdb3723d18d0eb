//! The call that produced an output.

/// The call that produced a block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call<'a> {
    /// The tool's name as the request gives it; empty when unknown.
    pub(crate) name: &'a str,
    /// The call's arguments as JSON text; empty when unknown.
    pub(crate) arguments: &'a str,
}
