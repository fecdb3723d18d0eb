//! The SQL files under `migrations/` are compiled in. Cargo has to notice a new one without a change of the
//! code.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
