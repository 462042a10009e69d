//! `ironhull dev`: clusters of many nodes on one machine, to see how Kubernetes behaves when nodes break.
//!
//! A cluster's hosts are test hosts (crate `testbed`). They belong to one process, the supervisor: it has its own
//! directory, answers commands on a socket there, and forwards a loopback port of the machine to the API. When it exits
//! in any way, the kernel kills the hosts with it.
//!
//! | module | contents |
//! | --- | --- |
//! | [`flags`] | the command line |
//! | `preflight` | checks of the machine's requirements |
//! | `state` | a cluster's directory |
//! | `protocol` | the protocol between commands and the supervisor |
//! | `up` | `ironhull dev up`: starts a supervisor and waits |
//! | `commands` | all other commands, which talk to the supervisor |
//! | `supervisor` | the supervisor |
//! | `relay` | the connection from the machine's shell to the API server |
//!
//! Its errors are texts for the person at the terminal, like those of the program. It must not know what runs on its
//! hosts: it starts the program that it is part of, and talks to it like any client.

mod commands;
pub mod flags;
mod preflight;
mod protocol;
mod relay;
mod state;
mod supervisor;
mod up;

use flags::DevCommand;
pub use flags::DevFlags;
use state::StateDir;

/// Carries out a command.
///
/// # Errors
/// Why it failed.
pub async fn run(flags: DevFlags) -> anyhow::Result<()> {
    preflight::check_name(&flags.name)?;
    let state = StateDir::new(&flags.state_dir, &flags.name);
    match flags.command {
        DevCommand::Up(up) => up::run(&state, &up).await,
        DevCommand::Supervise(up) => supervisor::run(state, up).await,
        DevCommand::List => commands::list(&flags.state_dir).await,
        DevCommand::Down => commands::down(&state).await,
        DevCommand::Status => commands::status(&state).await,
        DevCommand::Image { command } => commands::image(&state, &command).await,
        DevCommand::Node { command } => commands::node(&state, &command).await,
    }
}
