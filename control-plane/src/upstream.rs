//! Parts of pages that exist because upstream's pages have them. Upstream's readers find their figures under the
//! names that they know; nothing else here depends on those names.

pub(crate) mod allowances;
pub(crate) mod health;
pub(crate) mod savings;
