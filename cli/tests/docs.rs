//! The examples of the pages on mapping tables, test tools and rewriting do what the pages say.
//!
//! The pages see the folder `examples` in the current directory. A block named `imta.cnf`, `aliases`, `mappings` or
//! `general.txt` becomes that file of the site, `answers`, `m.msg` and `tmp.filter` files in the current directory;
//! the commands of a `console` block are run by a shell, and their output compared.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The blocks of a page: the word after the fence, the first line's number, the text.
fn blocks(page: &str) -> Vec<(String, usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (n, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(name), None) => open = Some((name.to_string(), n + 2, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, _, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => std::fs::copy(&path, &to).map(|_| ()).unwrap(),
        }
    }
}

/// Runs the examples; how many commands there were.
fn run(page: &str) -> usize {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = std::fs::read_to_string(root.join(page)).unwrap();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(page);
    let _ = std::fs::remove_dir_all(&directory);
    let config = directory.join("sluice-site/config");
    std::fs::create_dir_all(&config).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_imsimta")).parent().unwrap();
    let path = format!(
        "{}:{}",
        program.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    copy(&root.join("../examples"), &directory.join("examples"));
    let mut commands = 0;
    for (name, line, block) in blocks(&text) {
        match name.as_str() {
            "imta.cnf" | "aliases" | "mappings" | "general.txt" => {
                std::fs::write(config.join(name), block).unwrap()
            }
            "answers" | "m.msg" | "tmp.filter" => std::fs::write(directory.join(name), block).unwrap(),
            "console" => {
                for example in format!("\n{block}").split("\n$ ").skip(1) {
                    let (command, expected) = example.split_once('\n').unwrap();
                    let output = Command::new("sh")
                        .args(["-c", command])
                        .current_dir(&directory)
                        .env("PATH", &path)
                        .env_remove("SLUICE_SITE")
                        .output()
                        .unwrap();
                    let got = String::from_utf8(output.stdout).unwrap();
                    let err = String::from_utf8_lossy(&output.stderr);
                    assert_eq!(
                        got.trim_end(),
                        expected.trim_end(),
                        "{page}, block at line {line}, {command}: {err}"
                    );
                    assert_eq!(err, "", "{page}, block at line {line}, {command}");
                    commands += 1;
                }
            }
            other => panic!("{page}: what is a block of `{other}` at line {line}?"),
        }
    }
    commands
}

#[test]
fn the_examples_run() {
    assert!(run("mapping.md") >= 14);
    assert!(run("test-tools.md") >= 8);
    assert!(run("rewrite.md") >= 6);
    assert!(run("example-sites.md") >= 8);
}
