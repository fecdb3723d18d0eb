//! The languages that are read, by the name of the file in a call.

/// A programming language.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Language {
    Python,
    /// With JSX, which plain files may also contain.
    JavaScript,
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    Go,
    Rust,
    Java,
    C,
    Cpp,
}

impl Language {
    /// The language of the file at this path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next()?;
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending {
            "py" | "pyi" => Self::Python,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "go" => Self::Go,
            "rs" => Self::Rust,
            "java" => Self::Java,
            "c" => Self::C,
            // A C header can be read as C++.
            "h" | "cc" | "cpp" | "cxx" | "hpp" | "hh" | "hxx" => Self::Cpp,
            _ => return None,
        })
    }

    /// JavaScript and TypeScript.
    pub(super) fn is_script(self) -> bool {
        matches!(self, Self::JavaScript | Self::TypeScript | Self::Tsx)
    }

    pub(super) fn has_jsx(self) -> bool {
        matches!(self, Self::JavaScript | Self::Tsx)
    }

    pub(super) fn is_c(self) -> bool {
        matches!(self, Self::C | Self::Cpp)
    }

    /// Whether a word reports a failure, or makes such a report.
    pub(super) fn raises(self, word: &str) -> bool {
        let words: &[&str] = match self {
            Self::Python => &["raise", "except"],
            Self::JavaScript | Self::TypeScript | Self::Tsx | Self::Java => &["throw", "catch"],
            // `Errorf` counts if it makes an error, not if it wraps one.
            Self::Go => &["panic", "errors"],
            Self::Rust => &["panic", "bail", "Err", "ensure"],
            // see `Outline::whole`
            Self::C | Self::Cpp => &[],
        };
        words.contains(&word)
    }
}
