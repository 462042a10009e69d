//! `ironhull dev`: clusters of many nodes on one machine, to see what Kubernetes does when nodes break.
//!
//! A cluster's hosts are those of the tests (crate `testbed`). They belong to one process, the supervisor: it has
//! a directory of its own, answers commands on a socket there, and lets the machine's own shell reach the API by a
//! port of the loopback interface. When it ends, in whatever way, the kernel ends the hosts with it.
//!
//! | module | is |
//! | --- | --- |
//! | [`flags`] | the command line |
//! | `preflight` | what the machine must have |
//! | `state` | a cluster's directory |
//! | `protocol` | what commands and the supervisor say to each other |
//! | `up` | `ironhull dev up`: starts a supervisor and waits |
//! | `commands` | all other commands, which ask the supervisor |
//! | `supervisor` | the supervisor |
//! | `relay` | the way from the machine's shell to the API server |
//!
//! Its errors are texts for the person at the terminal, as those of the program are. It must not know what runs on its hosts: it
//! starts the program that it is part of, and talks to it as everybody does.

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
