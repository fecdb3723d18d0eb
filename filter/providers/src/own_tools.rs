//! Headroom's own tools: which of them a request has, and whose tool a call in its answer belongs to.
//!
//! A call is ours if the filter has added the tool. A client that brings a tool of the same name answers the
//! calls itself.

use crate::{memory_tools, retrieve_tool};

/// Headroom's tools in a request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct OwnTools {
    /// `headroom_retrieve`.
    pub retrieve: bool,
    /// The memory tools.
    pub memory: MemoryTools,
}

/// The memory tools.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct MemoryTools {
    /// `memory_save`, `memory_search`, `memory_update`, `memory_delete` and `memory_list`.
    pub facts: bool,
    /// Anthropic's `memory_20250818`, which shows memory as a folder of files.
    pub files: bool,
}

/// The kind of one of these tools.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OwnTool {
    /// Returns what a form has left out.
    #[default]
    Retrieve,
    /// Keeps and finds facts.
    Memory,
}

impl OwnTools {
    /// Only the retrieve tool.
    pub const RETRIEVE: Self = Self { retrieve: true, memory: MemoryTools::NONE };

    /// Whether there is one.
    pub fn any(self) -> bool {
        self.retrieve || self.memory.any()
    }

    /// Which of our tools a call of this name is for; `None`: it is the client's.
    pub fn find(self, name: &str) -> Option<OwnTool> {
        match name {
            retrieve_tool::NAME if self.retrieve => Some(OwnTool::Retrieve),
            memory_tools::FILES if self.memory.files => Some(OwnTool::Memory),
            _ if self.memory.facts && memory_tools::NAMES.contains(&name) => Some(OwnTool::Memory),
            _ => None,
        }
    }
}

impl MemoryTools {
    /// None of them.
    pub const NONE: Self = Self { facts: false, files: false };

    /// Whether there is one.
    pub fn any(self) -> bool {
        self.facts || self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_ours_only_where_its_tool_was_added() {
        let facts = OwnTools { memory: MemoryTools { facts: true, files: false }, ..OwnTools::default() };
        let files = OwnTools { memory: MemoryTools { facts: false, files: true }, ..OwnTools::default() };
        for name in memory_tools::NAMES {
            assert_eq!(facts.find(name), Some(OwnTool::Memory), "{name}");
            assert_eq!((files.find(name), OwnTools::RETRIEVE.find(name)), (None, None), "{name}");
        }
        assert_eq!((facts.find("memory"), files.find("memory")), (None, Some(OwnTool::Memory)));
        assert_eq!(OwnTools::RETRIEVE.find("headroom_retrieve"), Some(OwnTool::Retrieve));
        assert_eq!(facts.find("headroom_retrieve"), None);
        assert!(!OwnTools::default().any() && OwnTools::RETRIEVE.any() && facts.any() && files.any());
    }
}
