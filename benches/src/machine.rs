//! What a result depends on: the machine and the versions.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use sysinfo::{Disks, System};

/// Crates whose versions are in the report, as they are in this program's lockfile.
const CRATES: [&str; 7] =
    ["tenantry", "rusqlite", "libsqlite3-sys", "r2d2_sqlite", "diesel", "redb", "native_db"];

/// The machine, for the report; `data` is where the files lie.
pub(crate) fn machine(data: &Path) -> Result<Vec<(String, String)>> {
    let system = System::new_all()?;
    let cpu = system.cpus().first().map_or("unknown", |cpu| cpu.brand().trim());
    let disks = Disks::new_with_refreshed_list()?;
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let file_system = disks
        .iter()
        .filter(|disk| data.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())
        .map_or_else(|| "unknown".to_owned(), |disk| disk.file_system().to_string_lossy().into_owned());
    let unknown = || "unknown".to_owned();
    Ok([
        ("processor", format!("{cpu}, {} cores", system.cpus().len())),
        ("memory", format!("{:.0} GiB", system.total_memory() as f64 / f64::from(1 << 30))),
        (
            "operating system",
            format!(
                "{}, kernel {}",
                System::long_os_version().unwrap_or_else(|_| unknown()),
                System::kernel_version().unwrap_or_else(|_| unknown())
            ),
        ),
        ("file system", file_system),
        ("compiler", first_line("rustc", &["--version"]).unwrap_or_else(unknown)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}

/// The versions of what is compiled into this program, and then the others.
pub(crate) fn versions(others: &[(String, String)]) -> Vec<(String, String)> {
    let lock = include_str!("../Cargo.lock");
    let mut versions = vec![("SQLite".to_owned(), rusqlite::version().to_owned())];
    versions.extend(work::process::locked_versions(lock, &CRATES).into_iter().filter(|(name, _)| {
        cfg!(feature = "peers") || !["diesel", "redb", "native_db"].contains(&name.as_str())
    }));
    if let Some(commit) = first_line("git", &["rev-parse", "--short", "HEAD"])
        && let Some(tenantry) = versions.iter_mut().find(|(name, _)| name == "tenantry")
    {
        tenantry.1 = format!("{} at commit {commit}", tenantry.1);
    }
    for version in others {
        if !versions.contains(version) {
            versions.push(version.clone());
        }
    }
    versions
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
