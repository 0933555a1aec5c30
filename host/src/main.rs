//! Arguments, runtime, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;

// Runs allocate on one thread and free on another, which this allocator is made for. docs/performance.md says what it costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = relais::cli::Cli::parse();
    if cli.compiles() {
        return relais::plugin::compile_from_stdin();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the operating system gives no threads");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(relais::cli::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            relais::terminal::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    };
    // What is still running was given its time, and must not hold up the end: a plugin that computes, a disk that hangs.
    runtime.shutdown_background();
    code
}
