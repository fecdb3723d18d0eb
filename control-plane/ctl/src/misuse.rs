//! What nobody can carry out as it was asked for: options and variables that make no sense.

/// An option or a variable cannot be understood. The program then ends with 2, as for an option that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Misuse(anyhow::Error);

impl Misuse {
    /// Marks an error as one of the command line.
    pub fn of(error: anyhow::Error) -> anyhow::Error {
        Self(error).into()
    }
}
