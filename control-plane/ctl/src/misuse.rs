//! Errors of usage: options and variables with invalid values.

/// An option or a variable cannot be understood. The program then exits with 2, as for an unknown option.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Misuse(anyhow::Error);

impl Misuse {
    /// Marks an error as one of the command line.
    pub fn of(error: anyhow::Error) -> anyhow::Error {
        Self(error).into()
    }
}
