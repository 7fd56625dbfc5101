//! `sluice sieve fmt`: the layout changes, what scripts mean does not.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cli::Program;
use common::{Ran, directory, run};
use grammar::Sources;
use grammar::sieve::{FormatError, format};
use policy::sieve::{NoLibrary, Options, compile};

fn fmt(args: &[&str], input: &str) -> Ran {
    let args: Vec<&str> = ["sieve", "fmt"].into_iter().chain(args.iter().copied()).collect();
    run(Program::Sluice, Path::new("."), &args, input, false)
}

/// Every script of the vectors and of our own suites, with a name.
fn scripts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    let vectors = std::fs::read_to_string(root.join("tests/vectors/sieve.jsonl")).unwrap();
    for (n, line) in vectors.lines().enumerate() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let config = &case["config"];
        let named = case["scripts"].as_object().into_iter().flatten();
        let texts = [&case["script"], &config["user_script"], &config["system_script"]]
            .into_iter()
            .chain(named.map(|(_, text)| text));
        for text in texts.filter_map(serde_json::Value::as_str) {
            all.push((format!("vector {}", n + 1), text.to_string()));
        }
    }
    let mut folders: Vec<PathBuf> = vec![root.join("tests/sieve"), root.join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let filter = path.file_name().is_some_and(|n| n == "imta.filter");
            if filter || path.extension().is_some_and(|e| e == "sieve" || e == "svtest") {
                all.push((
                    path.display().to_string(),
                    std::fs::read_to_string(&path).unwrap(),
                ));
            }
        }
    }
    all
}

/// The compiled program of a script, or the codes of what is wrong.
fn compiled(text: &str) -> Result<String, Vec<&'static str>> {
    let mut sources = Sources::new();
    let file = sources.add("script", text);
    match compile(&mut sources, file, &NoLibrary, &Options::default()) {
        Ok((program, _)) => Ok(program.to_string()),
        Err(errors) => Err(errors.iter().map(|d| d.code).collect()),
    }
}

#[test]
fn no_script_changes_its_meaning() {
    let (mut laid_out, mut refused) = (0, 0);
    for (name, text) in scripts() {
        match format(&text) {
            Ok(out) => {
                // `format` itself compares the trees; this is what is made of them
                assert_eq!(compiled(&out), compiled(&text), "{name}");
                assert_eq!(format(&out).unwrap(), out, "{name}: not the same a second time");
                laid_out += 1;
            }
            Err(FormatError::Syntax(found)) => {
                assert!(!found.is_empty(), "{name}");
                assert!(compiled(&text).is_err(), "{name}");
                refused += 1;
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert!(laid_out > 120 && refused > 3, "{laid_out} and {refused}");
}

#[test]
fn files_are_replaced_or_stay() {
    let folder = directory("sieve-fmt");
    let path = |name: &str| folder.join(name).display().to_string();
    let texts = [
        ("good.sieve", "keep;\n"),
        ("wild.sieve", "if true{keep;}# why"),
        ("wrong.sieve", "if true{keep;"),
    ];
    let write = || {
        for (name, text) in texts {
            std::fs::write(path(name), text).unwrap();
        }
    };
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    write();
    // names, whether it is only a check, exit code, what is printed
    let cases: &[(&[&str], bool, u8, &str)] = &[
        (&["good.sieve"], true, 0, ""),
        (&["wild.sieve", "good.sieve"], true, 1, "wild.sieve\n"),
        (&["wrong.sieve", "wild.sieve"], true, 3, "wild.sieve\n"),
        (&["none.sieve"], true, 1, ""),
        (&["good.sieve"], false, 0, ""),
        (&["wrong.sieve"], false, 3, ""),
        (&["none.sieve", "wild.sieve"], false, 1, ""),
        (&["none.sieve", "wrong.sieve", "wild.sieve"], false, 3, ""),
    ];
    for (names, check, code, printed) in cases {
        write();
        let names: Vec<String> = names.iter().map(|n| path(n)).collect();
        let mut args: Vec<&str> = names.iter().map(String::as_str).collect();
        if *check {
            args.insert(0, "--check");
        }
        let ran = fmt(&args, "");
        let out = ran.out.replace(&format!("{}/", folder.display()), "");
        assert_eq!(
            (ran.exit.code(), out.as_str()),
            (*code, *printed),
            "{args:?}: {}",
            ran.err
        );
        let changed = !check && names.iter().any(|n| n.ends_with("wild.sieve"));
        let wild = if changed {
            "if true {\n    keep;\n} # why\n"
        } else {
            texts[1].1
        };
        assert_eq!(read("wild.sieve"), wild, "{args:?}");
        assert_eq!(read("good.sieve"), texts[0].1, "{args:?}");
        assert_eq!(read("wrong.sieve"), texts[2].1, "{args:?}");
        assert_eq!(ran.err.contains("`{` is not closed"), *code == 3, "{}", ran.err);
    }
}

#[test]
fn standard_input_goes_to_standard_output() {
    for args in [&["-"][..], &[]] {
        let ran = fmt(args, "keep;stop;");
        assert_eq!((ran.exit.code(), ran.out.as_str()), (0, "keep;\nstop;\n"));
    }
    let ran = fmt(&["--check", "-"], "keep;stop;");
    assert_eq!((ran.exit.code(), ran.out.as_str()), (1, "-\n"));
    let ran = fmt(&["-"], "keep");
    assert_eq!((ran.exit.code(), ran.out.as_str()), (3, ""));
    assert!(ran.err.contains("-:1:5"), "{}", ran.err);
}

#[test]
fn links_and_permissions_stay() {
    let folder = directory("sieve-fmt-link");
    let (file, link) = (folder.join("real.sieve"), folder.join("active"));
    std::fs::write(&file, "keep;stop;").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
    std::os::unix::fs::symlink("real.sieve", &link).unwrap();
    let ran = fmt(&[&link.display().to_string()], "");
    assert_eq!(ran.exit.code(), 0, "{}", ran.err);
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep;\nstop;\n");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o664
    );
    // `config` is made by the helper
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
}
