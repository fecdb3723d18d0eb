//! The `headroomctl` program.

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use headroomctl::cli::{Cli, Command};
use headroomctl::misuse::Misuse;
use headroomctl::{
    cache, compress, config, count, demo, doctor, env, history, learn, logs, mcp, memory, open, perf,
    providers, purge, report, retrieve, service, stats, status, telemetry, tune, unwrap, up, wrap,
};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // If standard error is closed too, only the exit code can report the error.
            let _ = writeln!(stderr(), "headroomctl: {error:#}");
            if error.is::<Misuse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// The exit code is 0, or that of the program that was run.
fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if !matches!(cli.command, Command::Config(_) | Command::Completions { .. }) {
        config::load()?;
    }
    let done = match cli.command {
        Command::Status(args) => return runtime()?.block_on(status::status(&args)),
        Command::Down(args) => runtime()?.block_on(status::down(&args)),
        Command::Restart(args) => runtime()?.block_on(status::restart(&args)),
        Command::Logs(args) => runtime()?.block_on(logs::logs(&args)),
        Command::Config(args) => config::config(&args),
        Command::Service(args) => service::service(&args),
        Command::Wrap(args) => return runtime()?.block_on(wrap::wrap(&args)),
        Command::Unwrap(args) => unwrap::unwrap(&args),
        Command::Env(args) => env::env(&args),
        Command::Up(args) => runtime()?.block_on(up::up(&args)),
        Command::Bootstrap(args) => runtime()?.block_on(up::print_bootstrap(&args)),
        Command::Providers(args) => providers::providers(&args),
        Command::Compress(args) => compress::compress(&args),
        Command::Count(args) => runtime()?.block_on(count::count(&args)),
        Command::Demo(args) => runtime()?.block_on(demo::demo(&args)),
        Command::Cache(args) => runtime()?.block_on(cache::cache(&args)),
        Command::Open(args) => runtime()?.block_on(open::open(&args)),
        Command::Mcp(args) => runtime()?.block_on(mcp::mcp(&args)),
        Command::Memory(args) => runtime()?.block_on(memory::memory(&args)),
        Command::Retrieve(args) => runtime()?.block_on(retrieve::retrieve(&args)),
        Command::History(args) => runtime()?.block_on(history::history(&args)),
        Command::Learn(args) => learn::learn(&args),
        Command::Purge(args) => runtime()?.block_on(purge::purge(&args)),
        Command::Perf(args) => runtime()?.block_on(perf::perf(&args)),
        Command::Report(args) => runtime()?.block_on(report::report(&args)),
        Command::Doctor(args) => runtime()?.block_on(doctor::doctor(&args)),
        Command::Toin(args) => runtime()?.block_on(tune::toin(&args)),
        Command::Tune(args) => runtime()?.block_on(tune::tune(&args)),
        Command::Telemetry(args) => runtime()?.block_on(telemetry::telemetry(&args)),
        Command::Stats(args) => runtime()?.block_on(stats::stats(&args)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "headroomctl", &mut stdout());
            Ok(())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
