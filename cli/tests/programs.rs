//! The programs, their help and their names.

mod common;

use std::path::Path;

use cli::Program;
use common::*;

#[test]
fn help_and_version() {
    let site = Path::new(".");
    type Case<'a> = (&'a str, Program, &'a [&'a str], u8, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            "imsimta",
            Program::Imsimta,
            &["--help"],
            0,
            &["  test ", "  version "],
        ),
        ("imsimta, short", Program::Imsimta, &["-h"], 0, &["  test "]),
        (
            "test",
            Program::Imsimta,
            &["test", "-help"],
            0,
            &["-mapping", "-match"],
        ),
        (
            "test -match",
            Program::Imsimta,
            &["test", "-match", "--help"],
            0,
            &["TARGET", "-json"],
        ),
        (
            "test -mapping",
            Program::Imsimta,
            &["test", "-help", "-mapping"],
            0,
            &["-[no]image_file[=FILE]"],
        ),
        ("version", Program::Imsimta, &["version"], 0, &["Sluice 0."]),
        ("--version", Program::Imsimta, &["--version"], 0, &["Sluice 0."]),
        ("sluice", Program::Sluice, &["--help"], 0, &["imsimta"]),
        (
            "sluice --version",
            Program::Sluice,
            &["--version"],
            0,
            &["sluice 0."],
        ),
        (
            "sluice imsimta",
            Program::Sluice,
            &["imsimta", "test", "-match", "x", "X"],
            0,
            &["Match."],
        ),
        (
            "sluice imsimta --help",
            Program::Sluice,
            &["imsimta", "--help"],
            0,
            &["  test "],
        ),
        ("sluice alone", Program::Sluice, &[], 2, &[]),
        (
            "sluice with a typing error",
            Program::Sluice,
            &["imsimtaa"],
            2,
            &[],
        ),
    ];
    for (name, program, args, code, parts) in cases {
        let ran = run(*program, site, args, "", false);
        assert_eq!(ran.exit.code(), *code, "{name}: {}", ran.err);
        assert_eq!(ran.out.is_empty(), parts.is_empty(), "{name}: {}", ran.out);
        for part in *parts {
            assert!(ran.out.contains(part), "{name}: {part} in {}", ran.out);
        }
    }
}

#[test]
fn the_name_says_which_program() {
    for (name, default, expected) in [
        ("/opt/sluice/bin/imsimta", Program::Sluice, Program::Imsimta),
        ("sluice", Program::Imsimta, Program::Sluice),
        ("mta", Program::Imsimta, Program::Imsimta),
        ("", Program::Sluice, Program::Sluice),
    ] {
        assert_eq!(Program::called(name, default), expected, "{name}");
    }
}
