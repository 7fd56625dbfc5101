//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `sluice` program: `SLUICE_BIN`, or the one of this build, brought up to date first.
pub fn sluice() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("SLUICE_BIN") {
        Some(path) => PathBuf::from(path),
        None => built(),
    })
}

/// The `imsimta` program beside it.
pub fn imsimta() -> PathBuf {
    sluice().with_file_name("imsimta")
}

fn built() -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    let profile = exe.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let target = profile.parent().expect("target/PROFILE");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--package",
            "sluice",
            "--bins",
            "--target-dir",
        ])
        .arg(target);
    if profile.file_name().is_some_and(|n| n == "release") {
        command.arg("--release");
    }
    let status = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the programs under test do not build");
    profile.join("sluice")
}
