//! The SQL files under `migrations/` are compiled in: a new one is seen without a change of the code.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
