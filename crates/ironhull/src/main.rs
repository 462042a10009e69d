//! The `ironhull` program: flags, validated configuration, and the wiring of roles.
//!
//! From the bottom to the top; a module uses those above it in this table only:
//!
//! | module | is |
//! | --- | --- |
//! | `cluster` | settings shared by all machines of a cluster |
//! | `flags` | the command line and the config file, as people write them |
//! | `config` | the same, validated once |
//! | `lifetime` | until when tasks run |
//! | `identities` | as whom the parts of this process act |
//! | `control_plane` | the API server of this process, and clients of it |
//! | `access` | a node's clients of an API server, wherever that is |
//! | `health` | how the components of this process are, for the API server |
//! | `history` | how long old versions are kept |
//! | `memory` | the allocator, and what returns memory to the system after a peak |
//! | `own_certificates` | the certificates of a server's own parts |
//! | `own_node` | what the control plane says of its own machine's node |
//! | `image` | `ironhull image ...`, and the store of images |
//! | `state` | the cluster's state on disk, `ironhull backup` and `ironhull restore` |
//! | `node_role` | the node side: engine, network, proxy, DNS, node agent |
//! | `server` | the control plane: store, API server, controllers, scheduler |
//! | `agent` | a node that joins a cluster |
//! | `token` | `ironhull token ...` |
//! | `reset` | `ironhull reset` |
//!
//! What a role does is in its crate: joining in `join`, the clusters of `ironhull dev` in `dev`, a node's network in `network`.

use std::process::ExitCode;

use clap::Parser;

mod access;
mod agent;
#[cfg(test)]
mod build_facts;
mod cluster;
mod config;
mod control_plane;
mod flags;
mod health;
mod history;
mod identities;
mod image;
mod lifetime;
mod memory;
mod node_role;
mod own_certificates;
mod own_node;
mod reset;
mod server;
mod state;
mod token;

use flags::{Cli, Command};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // The shim must start single-threaded: nothing else may have run before it.
    if arguments.next().is_some_and(|first| first == runtime::shim::ARGUMENT) {
        let code = runtime::shim::main(arguments);
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let cli = match flags::with_config_file(std::env::args_os()) {
        Ok(arguments) => Cli::parse_from(arguments),
        Err(error) => return fail(&error),
    };
    start_logging(&cli);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    if matches!(command, Command::Server(_) | Command::Agent(_)) {
        serve::raise_descriptors();
    }
    let runtime = memory::runtime()?;
    let result = runtime.block_on(async {
        match command {
            Command::Server(flags) => server::run(config::ServerConfig::validate(*flags)?).await,
            Command::Agent(flags) => agent::run(*flags).await,
            Command::Token(flags) => token::run(flags).await,
            Command::Image(flags) => image::run(flags).await,
            Command::Backup(flags) => state::backup(flags).await,
            Command::Restore(flags) => state::restore(flags).await,
            Command::Reset(flags) => reset::run(&flags.data_dir).await,
            Command::Dev(flags) => dev::run(flags).await,
        }
    });
    // Watches and informers never end by themselves.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// Prints the error, with its causes.
fn fail(error: &anyhow::Error) -> ExitCode {
    tell(format_args!("ironhull: {}", causes::chain(error.as_ref())));
    ExitCode::FAILURE
}

/// Prints a message for the person at the terminal. If that fails (the terminal is gone, the log's disk is full), it is
/// ignored.
fn tell(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn start_logging(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let default = match cli.verbosity {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("IRONHULL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Failed writes are ignored: reporting them would need the same file, and panic if that is full.
    let builder = builder.log_internal_errors(false);
    let builder = builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match cli.log_format {
        flags::LogFormat::Text => builder.init(),
        flags::LogFormat::Json => builder.json().init(),
    }
}
