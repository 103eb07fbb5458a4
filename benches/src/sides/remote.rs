//! The sides over sqlx, which live in the program in `async`.

use std::process::Command;

use anyhow::Result;
use work::process::Remote;
use work::{Run, Setup};

use super::Started;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/async/Cargo.toml");

/// Builds the program if need be, and starts it.
pub(super) fn start(setup: &Setup) -> Result<Started> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--release", "--quiet", "--manifest-path", MANIFEST]);
    let (remote, versions) = Remote::start(&mut command, setup)?;
    let contender = remote.map(|remote| Box::new(remote) as Box<dyn Run>);
    Ok(Started { contender, versions })
}
