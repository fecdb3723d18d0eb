//! What pages have because those of upstream, the Python product, have it. Its readers find their figures under the
//! names that they know; nothing else here depends on those names.

pub(crate) mod allowances;
pub(crate) mod health;
pub(crate) mod savings;
