//! The match and mapping vectors of the specification, through the real program.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn vectors(name: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn text<'v>(vector: &'v Value, name: &str) -> &'v str {
    vector[name].as_str().unwrap()
}

fn imsimta(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_imsimta"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // a program that needs no input may be gone before it is written
    let _ = writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn check_match(vector: &Value, got: &Value) {
    assert_eq!(got["pattern"], vector["pattern"], "out of step");
    assert_eq!(got["target"], vector["target"], "out of step");
    assert_eq!(got["matched"], vector["matched"], "{vector}");
    if !vector["fields"].is_null() {
        assert_eq!(got["fields"], vector["fields"], "{vector}");
    }
}

#[test]
fn match_vectors() {
    let vectors = vectors("match.jsonl");
    assert!(vectors.len() >= 60);
    let mut input = String::new();
    for v in &vectors {
        input.push_str(&format!("{}\n{}\n", text(v, "pattern"), text(v, "target")));
    }
    let output = imsimta(&["test", "-match", "--json"], &input);
    let got = lines(&output);
    assert_eq!(got.len(), vectors.len());
    for (vector, got) in vectors.iter().zip(&got) {
        check_match(vector, got);
    }
    for vector in vectors.iter().step_by(12) {
        let output = imsimta(
            &[
                "test",
                "-match",
                "-json",
                "--",
                text(vector, "pattern"),
                text(vector, "target"),
            ],
            "",
        );
        check_match(vector, &lines(&output)[0]);
        let code = if vector["matched"] == true { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{vector}");
    }
}

#[test]
fn mapping_vectors() {
    let vectors = vectors("mapping.jsonl");
    assert!(vectors.len() >= 60);
    // one process for all vectors that share a file, a table and flags
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Value>> = BTreeMap::new();
    for v in &vectors {
        let key = (text(v, "mapping_file"), text(v, "table"), text(v, "flags_in"));
        groups.entry(key).or_default().push(v);
    }
    let directory: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mapping_vectors");
    std::fs::create_dir_all(&directory).unwrap();
    let mut failures = Vec::new();
    for (n, ((file, table, flags), group)) in groups.iter().enumerate() {
        let path = directory.join(format!("mappings-{n}"));
        std::fs::write(&path, file).unwrap();
        let file_option = format!("-mapping_file={}", path.display());
        let flags_option = format!("-flags={flags}");
        let args = [
            "test",
            "-mapping",
            "-noimage_file",
            &file_option,
            "-table",
            table,
            &flags_option,
            "--json",
        ];
        let input: String = group.iter().map(|v| format!("{}\n", text(v, "input"))).collect();
        let output = imsimta(&args, &input);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let got = lines(&output);
        assert_eq!(got.len(), group.len());
        for (vector, got) in group.iter().zip(&got) {
            assert_eq!(got["input"], vector["input"], "out of step");
            let mut expected: Vec<char> = text(vector, "flags_out").chars().collect();
            expected.sort_unstable();
            let expected: String = expected.into_iter().collect();
            let right = got["output"] == vector["output"]
                && got["matched"] == !vector["output"].is_null()
                && got["flags"] == expected.as_str()
                && got["error"].is_null();
            if !right {
                failures.push(format!("{}: got {got}, want {vector}", vector["id"]));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_text_form_says_the_same() {
    for v in vectors("mapping.jsonl").iter().step_by(15) {
        let directory: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("text_form");
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(text(v, "id"));
        std::fs::write(&path, text(v, "mapping_file")).unwrap();
        let path = path.display().to_string();
        let flags = format!("-flags={}", text(v, "flags_in"));
        let args = [
            "test",
            "-mapping",
            "-noim",
            "-mapping_file",
            &path,
            "-table",
            text(v, "table"),
            &flags,
            text(v, "input"),
        ];
        let output = imsimta(&args, "");
        let out = String::from_utf8(output.stdout).unwrap();
        let expected = v["output"].as_str().unwrap_or(text(v, "input"));
        assert!(
            out.starts_with(&format!("Output string: {expected}\nOutput flags: [")),
            "{v}: {out}"
        );
        assert_eq!(v["output"].is_null(), out.ends_with("[]\n"), "{v}: {out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_imsimta"))
        .args(["test", "-match", "x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // ends when the program has gone, and is far more than any buffer holds
        for _ in 0..1_000_000 {
            if stdin.write_all(b"x\n").is_err() {
                break;
            }
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
