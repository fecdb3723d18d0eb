//! The sidecar as a process: real gRPC, real HTTP, real signals.

mod child;
mod hostile;
mod kill;
mod pages;
mod records;
mod report;
