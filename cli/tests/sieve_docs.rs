//! The examples of `docs/write-a-filter.md` do what the page says.
//!
//! A block named like a file becomes that file; the commands of a `console` block are run by a shell.

use std::path::Path;
use std::process::Command;

#[test]
fn the_examples_run() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/write-a-filter.md");
    let text = std::fs::read_to_string(page).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("write-a-filter");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_sluice")).parent().unwrap();
    let path = format!(
        "{}:{}",
        programs.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut commands = 0;
    for block in text.split("\n```").skip(1).step_by(2) {
        let (name, body) = block.split_once('\n').unwrap();
        if name != "console" {
            assert!(name.contains('.'), "a block named {name}");
            std::fs::write(folder.join(name), format!("{body}\n")).unwrap();
            continue;
        }
        for example in format!("\n{body}").split("\n$ ").skip(1) {
            let (command, expected) = example.split_once('\n').unwrap();
            let output = Command::new("sh")
                .args(["-c", command])
                .current_dir(&folder)
                .env("PATH", &path)
                .output()
                .unwrap();
            let got = String::from_utf8_lossy(&output.stdout);
            assert_eq!(got.trim_end(), expected.trim_end(), "{command}");
            assert!(output.stderr.is_empty(), "{command}: {output:?}");
            commands += 1;
        }
    }
    assert!(commands >= 6, "only {commands} commands");
}
